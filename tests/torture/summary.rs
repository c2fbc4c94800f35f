//! What a torture did, for people.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default, Clone)]
pub struct Summary {
    pub harvests: u64,
    pub ids: u64,
    pub kills: u64,
    /// Runs that ended otherwise.
    pub terms: u64,
    pub ends: u64,
    /// Kills by place; those at random instants under their own names.
    pub places: BTreeMap<String, u64>,
    /// Uncommitted tails that were cut or overwritten after a kill.
    pub tails: u64,
    /// Thrown away by `--fresh`.
    pub fresh: u64,
    /// Answered, and not committed when the kill came.
    pub lost: u64,
    /// Answers that came within the checkpoint's interval before a kill, and those in flight.
    pub interval: u64,
    /// What the bound allows: the same with the time that commits take here and now.
    pub allowed: u64,
    /// Answers to items beyond one each.
    pub again: u64,
    /// Of a quota, the share that the fullest window had.
    pub fullest: f64,
    /// Answers that the proxy spoiled, at most.
    pub struck: u64,
}

impl Summary {
    pub fn add(&mut self, other: Summary) {
        self.harvests += other.harvests;
        self.ids += other.ids;
        self.kills += other.kills;
        self.terms += other.terms;
        self.ends += other.ends;
        self.tails += other.tails;
        self.fullest = self.fullest.max(other.fullest);
        self.fresh += other.fresh;
        self.lost += other.lost;
        self.interval += other.interval;
        self.allowed += other.allowed;
        self.again += other.again;
        self.struck += other.struck;
        for (place, n) in other.places {
            *self.places.entry(place).or_default() += n;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills in {} harvests of {} IDs ({} more runs ended by SIGTERM, {} by themselves; {} tails spoiled): \
             zero lost, zero twice, zero torn; {} fetched again: {} cost by the kills, where an interval's worth is {} \
             and {} were allowed; {} thrown away by --fresh, up to {} spoiled by the proxy; \
             the fullest window had {:.0} % of its quota",
            self.kills,
            self.harvests,
            self.ids,
            self.terms,
            self.ends,
            self.tails,
            self.again,
            self.lost,
            self.interval,
            self.allowed,
            self.fresh,
            self.struck,
            self.fullest * 100.0
        )?;
        if self.harvests > 1 {
            for (place, n) in &self.places {
                write!(f, "\n  {n:4} {place}")?;
            }
        }
        Ok(())
    }
}

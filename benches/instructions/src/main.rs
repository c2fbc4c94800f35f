//! One hot stage, on fixed input, so many times: for counting instructions.
//!
//!     instructions STAGE TIMES
//!
//! `check` beside this runs it under callgrind. Owns the stages' input, which
//! must never change without new figures; a stage does nothing but its work.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use harvest::checkpoint::{Claim, DoneSet};
use harvest::ids::IdBatch;
use harvest::job::{Environment, Job, LoadOptions, OutputTarget, load};
use harvest::json::compact_json;
use harvest::outcome::{Outcome, Record};
use harvest::pace::{Note, Now, Pacer, Signal, Turn};
use harvest::checkpoint::Shape;
use harvest::write::{self, Closing, OpenOptions, Writer};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Records between two commits.
const COMMIT: u64 = 1_000;
/// IDs that a run takes together.
const CLAIMED: usize = 512;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(stage), Some(times)) = (arguments.next(), arguments.next()) else {
        bail!("usage: instructions STAGE TIMES");
    };
    let times: u64 = times.parse().context("TIMES is no number")?;
    let folder = std::env::temp_dir().join(format!("harvest-instructions-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = run(&stage, times, &folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn run(stage: &str, times: u64, folder: &Path) -> Result<()> {
    match stage {
        "list" => list(times, folder),
        "claim" => claim(times),
        "pace" => pace(times, folder),
        "url" => url(times, folder),
        "compact-body" => body(times, &track(0)),
        "pretty-body" => body(times, &pretty()?),
        "ndjson" => records(times, folder, "out.ndjson", COMMIT),
        "csv" => records(times, folder, "out.csv", COMMIT),
        "csv-fields" => records(times, folder, "out.tsv", COMMIT),
        "commit" => records(times, folder, "out.ndjson", 1),
        _ => bail!("no stage `{stage}`"),
    }
}

/// What is counted; making the input is not. Its name is what `check` looks for.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    work()
}

fn ids(times: u64) -> Vec<String> {
    (0..times).map(id).collect()
}

/// 22 characters, as Spotify's.
fn id(n: u64) -> String {
    format!("{n:022x}")
}

/// About 3 KB in one line.
fn track(n: u64) -> String {
    let mut text = format!(
        "{{\"id\":\"{}\",\"name\":\"Señorita \\\"Été\\\"\",\"artists\":[",
        id(n)
    );
    for artist in 0..8 {
        let comma = if artist > 0 { "," } else { "" };
        let _ = write!(
            text,
            "{comma}{{\"external_urls\":{{\"spotify\":\"https://open.spotify.example/artist/{artist:022}\"}},\
             \"href\":\"https://api.spotify.example/v1/artists/{artist:022}\",\"id\":\"{artist:022}\",\
             \"name\":\"The Slow Sisters\",\"type\":\"artist\"}}"
        );
    }
    text.push_str("],\"markets\":[");
    for market in 0..150_u32 {
        let comma = if market > 0 { "," } else { "" };
        let _ = write!(text, "{comma}\"{market:02X}\"");
    }
    text.push_str(
        "],\"duration_ms\":215160,\"popularity\":0.62,\"explicit\":false,\"preview_url\":null}",
    );
    text
}

fn pretty() -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(&track(0))?;
    Ok(serde_json::to_string_pretty(&value)?)
}

fn job(folder: &Path, output: &str, ids: u64) -> Result<Job> {
    let list: String = (0..ids).map(|n| id(n) + "\n").collect();
    std::fs::write(folder.join("ids.txt"), list)?;
    let columns = match output.ends_with(".csv") {
        true => {
            "[output.columns]\nid = \"$.id\"\nname = \"$.name\"\nartists = \"$.artists[*].name\"\n"
        }
        false => "",
    };
    let text = format!(
        "[ids]\nfile = \"ids.txt\"\n[request]\nurl = \"https://api.example.com/v1/tracks/{{id}}\"\n\
         query = {{ market = \"US\" }}\n[limits]\nrate = [\"5000/s\", \"1000000/h\"]\nconcurrency = 64\n\
         [output]\npath = \"{output}\"\n{columns}"
    );
    let path = folder.join("job.toml");
    std::fs::write(&path, text)?;
    let options = LoadOptions {
        environment: Environment::of::<String, String>([]),
        ..LoadOptions::default()
    };
    load(&path, &options).map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Reads the list, as many at once as a run does.
fn list(times: u64, folder: &Path) -> Result<()> {
    let job = job(folder, "out.ndjson", times)?;
    measured(|| {
        let mut reader = harvest::ids::open(&job.ids)?;
        loop {
            let mut batch = IdBatch::with_room(CLAIMED);
            reader.read(&mut batch, CLAIMED)?;
            black_box(batch.iter().map(str::len).sum::<usize>());
            if batch.len() < CLAIMED {
                return Ok(());
            }
        }
    })
}

/// Takes items that nobody has taken.
fn claim(times: u64) -> Result<()> {
    let mut done = DoneSet::new();
    let ids = ids(times);
    measured(|| {
        for together in ids.chunks(CLAIMED) {
            let claims = done.claim_all(together.iter().map(String::as_str), false);
            if !claims
                .iter()
                .all(|claim| matches!(claim, Claim::New { .. }))
            {
                bail!("taken before");
            }
        }
        Ok(())
    })
}

/// Two quotas, and every permit used.
fn pace(times: u64, folder: &Path) -> Result<()> {
    let job = job(folder, "out.ndjson", 1)?;
    let mut now = Now::read();
    let mut pacer = Pacer::new(&job.limits, &job.retry, false, 7, now);
    measured(|| {
        for n in 0..times {
            let permit = loop {
                match pacer.turn(now) {
                    Turn::Go(permit) => break permit,
                    Turn::Wait(at, _) => now.instant = at,
                    Turn::Full | Turn::NeedsLease => bail!("nothing is in flight"),
                }
            };
            now.instant += Duration::from_micros(50);
            let finished = pacer.finish(permit, Signal::Fine, n, now);
            finished.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        Ok(())
    })
}

fn url(times: u64, folder: &Path) -> Result<()> {
    let job = job(folder, "out.ndjson", 1)?;
    // Few, whatever the times: a longer list before it changes what malloc does for each.
    let ids = ids(64);
    let again = ids.iter().cycle().zip(0..times);
    measured(|| {
        for (id, _) in again {
            black_box(job.request.url.build(id, &job.request.query)?);
        }
        Ok(())
    })
}

fn body(times: u64, text: &str) -> Result<()> {
    let body = Bytes::from(text.to_owned());
    measured(|| {
        for _ in 0..times {
            black_box(compact_json(body.clone())?);
        }
        Ok(())
    })
}

/// Appends records, and commits after each `every`.
fn records(times: u64, folder: &Path, output: &str, every: u64) -> Result<()> {
    let job = job(folder, output, 1)?;
    let mut writer = open(&job)?;
    let body = Bytes::from(track(0));
    let outcomes: Vec<_> = ids(times)
        .into_iter()
        .map(|id| Outcome {
            id,
            occurrence: 0,
            fate: Ok(Record {
                validators: Default::default(),
                status: 200,
                fetched_at: UNIX_EPOCH,
                body: body.clone(),
            }),
            pages: None,
        })
        .collect();
    measured(|| {
        for (n, outcome) in (1..).zip(&outcomes) {
            writer.append(outcome)?;
            if n % every == 0 {
                writer.commit(Note::default(), None, Closing::No)?;
            }
        }
        Ok(())
    })
}

fn open(job: &Job) -> Result<Writer> {
    let OutputTarget::File(path) = &job.output.target else {
        bail!("the output is a file");
    };
    let options = OpenOptions {
        output: PathBuf::from(path),
        format: job.output.format,
        record: job.output.record,
        id_form: job.request.id_form(),
        columns: job.output.columns.clone(),
        shape: Shape::of(job),
        fresh: false,
        retry: false,
    };
    Ok(write::open(options)?.writer)
}

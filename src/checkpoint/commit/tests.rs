use super::*;
use proptest::prelude::*;

fn sample() -> Commit {
    Commit {
        at_ms: 1,
        closing: Closing::Paused,
        records: 2,
        output: Extent {
            length: 3,
            mtime_ns: -4,
            ranges: vec![Range { length: 3, crc: 5 }],
        },
        failures: Extent {
            length: 0,
            mtime_ns: 6,
            ranges: vec![],
        },
        versions: 19,
        notes: vec![Note {
            at_ms: 7,
            up: Some(Uptime { boot: 13, ms: 14 }),
            starts: 8,
            lease: 9,
            lease_until_ms: 10,
            pause_until_ms: 11,
            learnt: Learnt {
                rate_milli: 15,
                concurrency: 16,
                limit: 17,
                window_ms: 18,
            },
        }],
        failed: vec![("timeout".to_owned(), 12)],
        columns: Some(vec!["a".to_owned(), String::new()]),
        known_good: Some(Some("é".to_owned())),
        resume_points: vec![
            (ItemKey::of("c", 0), Some(resume_point())),
            (ItemKey::of("d", 1), None),
        ],
        rewrites_failures: false,
    }
}

fn resume_point() -> ResumePoint {
    ResumePoint {
        pages: 15,
        elements: 16,
        records: 17,
        marker: 18,
        next: "url:https://x/é".to_owned(),
    }
}

#[test]
fn what_is_written_is_read_and_no_part_of_it_is() {
    let keys = [ItemKey::of("a", 0), ItemKey::of("b", 0)];
    let payload = sample().encode(&keys).unwrap();
    let (commit, bytes) = Commit::decode(&payload).unwrap();
    assert_eq!(commit, sample());
    assert_eq!(bytes, [keys[0].to_bytes(), keys[1].to_bytes()].concat());
    for end in 0..payload.len() {
        assert!(Commit::decode(&payload[..end]).is_none());
    }
    for known_good in [None, Some(None)] {
        let commit = Commit {
            known_good,
            ..sample()
        };
        let payload = commit.encode(&keys).unwrap();
        assert_eq!(Commit::decode(&payload).unwrap().0, commit);
    }
}

proptest! {
    #[test]
    fn whatever_was_learnt_is_read_again(
        (rate_milli, concurrency) in any::<(u64, u32)>(),
        (limit, window_ms) in any::<(u64, u64)>(),
        up in any::<Option<(u64, u64)>>(),
    ) {
        let mut commit = sample();
        let up = up.map(|(boot, ms)| Uptime { boot: boot.max(1), ms });
        let learnt = Learnt { rate_milli, concurrency, limit, window_ms };
        commit.notes.push(Note { up, learnt, ..Note::default() });
        let payload = commit.encode(&[]).unwrap();
        prop_assert_eq!(Commit::decode(&payload).unwrap().0, commit);
    }

    #[test]
    fn any_trails_are_read_as_they_were_written(
        resume_points in proptest::collection::vec(
            (any::<String>(), proptest::option::of((any::<[u64; 4]>(), any::<String>()))),
            0..5,
        ),
        versions in any::<u64>(),
        done in 0usize..3,
    ) {
        let resume_points = resume_points.into_iter().map(|(id, resume_point)| {
            let resume_point = resume_point.map(|([pages, elements, records, marker], next)| ResumePoint {
                pages,
                elements,
                records,
                marker,
                next,
            });
            (ItemKey::of(&id, 0), resume_point)
        });
        let commit = Commit { resume_points: resume_points.collect(), versions, ..sample() };
        let keys: Vec<_> = (0..done).map(|n| ItemKey::of(&n.to_string(), 0)).collect();
        let payload = commit.encode(&keys).unwrap();
        let (read, bytes) = Commit::decode(&payload).unwrap();
        prop_assert_eq!(read, commit);
        prop_assert_eq!(bytes.len(), done * KEY);
        for end in 0..payload.len() {
            prop_assert!(Commit::decode(&payload[..end]).is_none());
        }
    }

    #[test]
    fn nothing_panics_the_decoder(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Commit::decode(&payload);
    }
}

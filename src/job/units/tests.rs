use super::*;
use proptest::prelude::*;

fn rate(count: u32, milliseconds: u64) -> Rate {
    Rate {
        count,
        window: Duration::from_millis(milliseconds),
    }
}

#[test]
fn every_documented_rate_is_read_and_printed_the_same() {
    for (text, expected) in [
        ("10/s", rate(10, 1_000)),
        ("600/m", rate(600, 60_000)),
        ("5000/h", rate(5_000, 3_600_000)),
        ("10000/d", rate(10_000, 86_400_000)),
        ("180/30s", rate(180, 30_000)),
        ("5/100ms", rate(5, 100)),
    ] {
        assert_eq!(text.parse(), Ok(expected));
        assert_eq!(expected.to_string(), text);
    }
    assert_eq!("10 / 30 s".parse(), Ok(rate(10, 30_000)));
    assert_eq!("10/minute".parse(), Ok(rate(10, 60_000)));
    assert_eq!(rate(7, 60_000 * 90).to_string(), "7/90m");
}

#[test]
fn impossible_rates_are_refused() {
    for text in [
        "",
        "10",
        "/s",
        "10/",
        "0/s",
        "10/0s",
        "-1/s",
        "+1/s",
        "1.5/s",
        "10/M",
        "10/x",
        "10/s/s",
        "ten/s",
        "4294967296/s",
        "1/999999999999999999d",
        "1/367d",
        "10/5",
    ] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn quarantines() {
    let ten = Quarantine {
        failures: 9,
        items: 10,
    };
    assert_eq!("9/10".parse(), Ok(ten));
    assert_eq!(" 9 / 10 ".parse(), Ok(ten));
    assert_eq!(ten.to_string(), "9/10");
    for text in [
        "", "95", "1/100", "0/0", "11/10", "5/10001", "9/x", "-9/10", "90%",
    ] {
        assert!(text.parse::<Quarantine>().is_err(), "{text}");
    }
}

#[test]
fn lengths_of_time() {
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_secs(5_400)));
    for text in ["", "30", "s", "-1s", "1000000d", "99999999999999999999s"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("1048576", 1_048_576),
        ("12 B", 12),
        ("500 kB", 500_000),
        ("500KB", 500_000),
        ("16 MiB", 16 << 20),
        ("1.5 GB", 1_500_000_000),
        ("0.5 KiB", 512),
        ("2GiB", 2 << 30),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in [
        "", "MiB", "1.", ".5 MB", "1,5 MB", "-1", "1 mib", "1 TB", "1.2.3",
    ] {
        assert!(parse_size(text).is_err(), "{text}");
    }
    assert!(parse_size("18446744073709551615 GiB").is_err());
}

proptest! {
    #[test]
    fn any_rate_survives_being_printed(count in 1u32.., milliseconds in 1u64..=31_622_400_000) {
        let rate = rate(count, milliseconds);
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in ".*") {
        let _ = text.parse::<Rate>();
        let _ = text.parse::<Quarantine>();
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
    }
}

use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_job_file_needs_no_command_word() {
    let cli = Cli::try_parse_from([
        "harvest", "a.toml", "--limit", "3", "--rate", "10/s", "--rate", "5/m",
    ])
    .unwrap();
    assert!(cli.command.is_none());
    assert_eq!(cli.run.harvest.limit, Some(3));
    assert_eq!(
        cli.run
            .harvest
            .overrides
            .load_options()
            .rates
            .unwrap()
            .len(),
        2
    );
    let cli = Cli::try_parse_from(["harvest", "run", "a.toml", "b.toml"]).unwrap();
    assert!(matches!(cli.command, Some(Command::Run(args)) if args.harvest.jobs.len() == 2));
}

#[test]
fn retry_takes_reasons_by_their_names() {
    let words = [
        "harvest", "retry", "a.toml", "--reason", "timeout", "--reason", "connect",
    ];
    let cli = Cli::try_parse_from(words).unwrap();
    assert!(matches!(
        cli.command,
        Some(Command::Retry(args)) if args.reason == [Reason::Timeout, Reason::Connect]
    ));
    assert!(Cli::try_parse_from(["harvest", "retry", "a.toml", "--reason", "bad"]).is_err());
    assert!(Cli::try_parse_from(["harvest", "retry", "a.toml", "--fresh"]).is_err());
}

#[test]
fn wrong_values_are_refused() {
    for wrong in [
        ["--rate", "fast"],
        ["--concurrency", "0"],
        ["--concurrency", "many"],
        ["--limit", "-1"],
    ] {
        assert!(
            Cli::try_parse_from([["harvest", "a.toml"], wrong].concat()).is_err(),
            "{wrong:?}"
        );
    }
}

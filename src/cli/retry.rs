//! `harvest retry JOB`: run again only what failed.

use super::Exit;
use super::args::RetryArgs;
use super::run::{Mode, harvest};

pub(super) fn retry(args: &RetryArgs) -> Exit {
    let reasons = args.reason.clone();
    harvest(&args.harvest, &Mode::Retry { reasons })
}

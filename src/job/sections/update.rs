//! `[update]`: which records are asked for again.

use super::reader::Reader;
use crate::job::diagnostic::Diagnostic;
use crate::job::units::LONGEST;
use crate::job::{Output, OutputTarget, Update};
use std::time::Duration;
use toml::de::DeTable;

/// `None` is a mistake that was told, `Some(None)` a job without the section.
/// `instead`: the output's path is that of `--output`, and not the job's own.
pub(super) fn read(
    reader: &mut Reader,
    root: &DeTable<'_>,
    output: Option<&Output>,
    instead: bool,
) -> Option<Option<Update>> {
    let Some((key, _)) = root.get_key_value("update") else {
        return Some(None);
    };
    let section = reader.section(root, "update");
    let older_than = reader.required(&section, "older_than", "older_than = \"7d\"")?;
    let range = Duration::from_secs(1)..=LONGEST;
    let older_than = reader.duration(older_than, range, "from `1s` to `366d`");
    let to_stdout = output.is_some_and(|output| output.target == OutputTarget::Stdout);
    if to_stdout && !instead {
        let message =
            "[update] needs an output that is kept: nothing that went to stdout can be updated";
        let help = "name a file in [output] path, or leave [update] out";
        reader.push(Diagnostic::new(message).at(key.span()).help(help));
        return None;
    }
    Some(Some(Update {
        older_than: older_than?,
    }))
}

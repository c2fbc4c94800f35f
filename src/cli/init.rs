//! `harvest init`: a commented job file to begin with.

use super::args::{InitArgs, StarterArg};
use super::{Exit, show};
use crate::job::{Starter, starter};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

pub(super) fn init(args: &InitArgs) -> Exit {
    let kind = match args.kind {
        StarterArg::Generic => Starter::Generic,
        StarterArg::Spotify => Starter::Spotify,
        StarterArg::Github => Starter::Github,
        StarterArg::ApiKey => Starter::ApiKey,
    };
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.toml", kind.name())));
    if path.as_os_str() == "-" {
        return show::out(starter(kind));
    }
    let written = File::create_new(&path).and_then(|mut file| {
        let all = file.write_all(starter(kind).as_bytes());
        if all.is_err() {
            // Half a file would be in the way of the next try.
            let _ = fs::remove_file(&path);
        }
        all
    });
    match written {
        Ok(()) => show::out(&format!(
            "wrote {0}: read through it, then try it with `harvest {0} --sandbox`",
            path.display()
        )),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            show::err(format_args!(
                "{} exists and is left as it is; name another file with --output",
                path.display()
            ));
            Exit::Usage
        }
        Err(error) => {
            show::err(format_args!("{} can't be written: {error}", path.display()));
            Exit::Error
        }
    }
}

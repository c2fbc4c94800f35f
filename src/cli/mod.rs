//! What a person types, and what they read when it goes wrong.
//!
//! Owns the command line, the exit codes and the showing of errors; one file a
//! command. Must never decide anything about a harvest itself.

mod args;
mod browser;
mod check;
mod init;
mod logging;
mod login;
mod logout;
mod open_files;
mod retry;
mod run;
mod sandbox;
mod show;
mod signals;
mod status;

use args::{Cli, Command};
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// Stdout was closed when the program began. Only the binary can tell, before `main`.
pub static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// How the program ends (design: section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every item has its record.
    Done,
    /// The run could not go on.
    Error,
    /// The command line or the job file is wrong; nothing was sent.
    Usage,
    /// Finished, and some items failed for good.
    Failures,
    /// Paused, resumable.
    Paused,
    /// Stopped by Ctrl-C.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::Failures => 3,
            Exit::Paused => 75,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

/// Parses the command line, does what it says, and gives the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::fail_point::die_with_parent();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version come this way too, with exit 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let exit = match cli.command {
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Retry(args)) => retry::retry(&args),
        Some(Command::Check(args)) => check::check(&args),
        Some(Command::Status(args)) => status::status(&args),
        Some(Command::Login(args)) => login::login(&args),
        Some(Command::Logout(args)) => logout::logout(&args),
        Some(Command::Init(args)) => init::init(&args),
        Some(Command::Schema) => show::out(crate::job::SCHEMA),
        Some(Command::Sandbox(args)) => sandbox::sandbox(&args),
        None => run::run(&cli.run),
    };
    crate::report::last();
    ExitCode::from(exit.code())
}

/// Runs a command's network part on an event loop of its own.
fn on_a_runtime<T>(what: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        show::err(format_args!(
            "the async runtime could not be started: {error}"
        ));
        Exit::Error
    })?;
    let result = runtime.block_on(what);
    // A blocked DNS look-up, a browser in the terminal: neither holds up the end.
    runtime.shutdown_background();
    Ok(result)
}

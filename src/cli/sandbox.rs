//! `harvest sandbox`: the embedded API, until Ctrl-C.

use super::args::SandboxArgs;
use super::signals::Stops;
use super::{Exit, show};
use crate::run::Stop;
use crate::sandbox::{Sandbox, SandboxOptions};

pub(super) fn sandbox(args: &SandboxArgs) -> Exit {
    let options = SandboxOptions {
        port: args.port,
        latency: args.latency,
        token_lifetime: args.token_lifetime,
        rate: args.rate,
        rate_changes: args.rate_change.clone(),
        workers: args.workers,
        fault_rate: args.fault_rate,
        seed: args.seed,
        log: args.log.clone(),
        bodies: args.bodies.clone(),
    };
    let sandbox = match Sandbox::start(options) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            show::err(error);
            return Exit::Error;
        }
    };
    let base = sandbox.base_url();
    show::out(&format!(
        "listening on {base}\n  token endpoint  POST {base}/api/token (any client id and secret)\n  log-in          POST {base}/login (any JSON object or form)\n  tracks          GET  {base}/v1/tracks/{{id}}\nCtrl-C stops it"
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let stopped = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut stops = Stops::new()?;
            Ok(stops.next().await)
        })
    });
    sandbox.stop();
    match stopped {
        Ok(Stop::Interrupt) => Exit::Interrupted,
        Ok(Stop::Terminate) => Exit::Terminated,
        Err(error) => {
            show::err(format_args!("signals can't be listened to: {error}"));
            Exit::Error
        }
    }
}

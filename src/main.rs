//! Parse, run, exit code: nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    harvest::cli::main(std::env::args_os())
}

/// A look at stdout before Rust's runtime begins, which opens /dev/null where it is closed:
/// after that, nobody can tell it from one that Python's or Node.js's `subprocess` opened.
#[cfg(target_os = "linux")]
mod before_main {
    use harvest::cli::STDOUT_IS_CLOSED;
    use std::sync::atomic::Ordering;

    // Only the place is unsafe: what is called there may use nothing of the runtime.
    #[allow(unsafe_code)]
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
        STDOUT_IS_CLOSED.store(closed, Ordering::Relaxed);
    }
}

//! The person's browser, where there is one to open.

use std::env;
use std::io::{self, IsTerminal};

/// Whether a browser that is opened here would come up before the person's eyes.
pub(super) fn is_there() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    // Somebody said which one.
    if set("BROWSER") {
        return true;
    }
    if !io::stderr().is_terminal() {
        return false;
    }
    if cfg!(any(target_os = "macos", windows)) {
        // Over SSH it would come up on another desk.
        return !set("SSH_CONNECTION");
    }
    set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Opens the browser. False when that can't be done.
pub(super) fn open(url: &str) -> bool {
    webbrowser::open(url).is_ok()
}

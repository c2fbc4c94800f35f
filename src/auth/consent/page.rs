//! The pages that the browser sees at the end of a log-in. No script, nothing
//! from elsewhere, and no word of anybody's without its markup taken off.

use hyper::StatusCode;

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    text: String,
    mark: Mark,
}

#[derive(Debug, Clone, Copy)]
enum Mark {
    Good,
    Bad,
}

impl Page {
    /// The tokens are there.
    pub(super) fn welcome(server: &str) -> Page {
        Page {
            status: StatusCode::OK,
            title: "You are logged in",
            text: format!("harvest can fetch from {server} for you now. You can close this tab."),
            mark: Mark::Good,
        }
    }

    /// They are not, for this reason.
    pub(super) fn refused(why: &str) -> Page {
        let mut why = why.chars();
        let first: String = why
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        let why = format!("{first}{}", why.as_str());
        Page {
            status: StatusCode::BAD_REQUEST,
            title: "The log-in did not succeed",
            text: format!("{why}. You can close this tab and go back to the terminal."),
            mark: Mark::Bad,
        }
    }

    /// Not of the log-in that is waited for.
    pub(super) fn stranger() -> Page {
        Page {
            status: StatusCode::BAD_REQUEST,
            title: "This is not the log-in that harvest waits for",
            text: "It may be an older one. Open the link that the terminal shows now.".into(),
            mark: Mark::Bad,
        }
    }

    /// Nobody waits any more.
    pub(super) fn over() -> Page {
        Page {
            status: StatusCode::GONE,
            title: "This log-in is over",
            text: "Run harvest login again for another one. You can close this tab.".into(),
            mark: Mark::Bad,
        }
    }

    /// Another address.
    pub(super) fn nothing_here() -> Page {
        Page {
            status: StatusCode::NOT_FOUND,
            title: "Nothing here",
            text: "This is harvest, waiting for a log-in to come back.".into(),
            mark: Mark::Bad,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn html(&self) -> String {
        let (class, sign) = match self.mark {
            Mark::Good => ("good", "✓"),
            Mark::Bad => ("bad", "!"),
        };
        let (title, text) = (escaped(self.title), escaped(&self.text));
        format!(
            r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · harvest</title>
<style>
:root {{ --ink: #1c211c; --soft: #5b645b; --ground: #f5f6f3; --card: #ffffff; --line: #dfe3dc; --good: #2c7a3f; --bad: #a4471b }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #eef1ec; --soft: #a7b0a5; --ground: #151815; --card: #1e221e; --line: #333a33; --good: #6cc283; --bad: #eb9a6c }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }}
main {{ box-sizing: border-box; width: min(30rem, calc(100vw - 2rem)); padding: 2.25rem; border: 1px solid var(--line); border-radius: .75rem; background: var(--card) }}
.mark {{ display: grid; place-items: center; width: 2.5rem; height: 2.5rem; margin-bottom: 1.25rem; border: 2px solid currentColor; border-radius: 50%; font-size: 1.25rem; font-weight: 600; line-height: 1 }}
.good {{ color: var(--good) }}
.bad {{ color: var(--bad) }}
h1 {{ margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.25 }}
p {{ margin: 0; color: var(--soft); overflow-wrap: anywhere }}
</style>
<main>
<div class="mark {class}" aria-hidden="true">{sign}</div>
<h1>{title}</h1>
<p>{text}</p>
</main>
</html>
"#
        )
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_markup_of_others_gets_through() {
        let html = Page::refused("<script>alert('1')</script> & \"x\"").html();
        assert!(
            html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;")
        );
        assert!(!html.contains("<script"));
    }
}

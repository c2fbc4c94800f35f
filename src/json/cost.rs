//! What a path costs on a tree, before there is one.
//!
//! Owns that estimate, which is rarely too low and never by much, so that no
//! body of a night takes the memory or the time of all others. The crate that
//! answers the path has no bound of its own and can't be interrupted. Must
//! never look at more than the text's brackets and commas.

use serde_json_path::JsonPath;

/// Bytes that the paths of one body may cost: a tree and what is found in it.
/// So much is worked through in about a second.
///
/// Measured at this bound, not optimised: `$..*` on 1.7 MB of `{"b":1}` takes
/// 264 MB and 2.4 s, `$..b` there 245 MB and 1.2 s.
pub(super) const MOST: u64 = 256 << 20;

/// A value in a tree, with its share of the objects around it and, if it is found, its place …
const VALUE: u64 = 512;
/// … of which each step costs so much.
const STEP: u64 = 64;
/// So many values that a filter looks at cost as much as one that is found.
const LOOKED_AT: u64 = 64;
/// A regular expression is built anew for each value that it is compared with.
const REGEX: u64 = 16;

/// How much there is in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    values: u64,
    depth: u64,
}

impl Size {
    /// Of JSON text; of other text, of whatever looks like it.
    pub(super) fn of(text: &[u8]) -> Size {
        let (mut values, mut open, mut depth) = (1, 0_u64, 0);
        let (mut inside, mut escaped) = (false, false);
        for byte in text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => inside = !inside,
                _ if inside => {}
                b',' => values += 1,
                b'[' | b'{' => {
                    values += 1;
                    open += 1;
                    depth = depth.max(open);
                }
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        Size { values, depth }
    }
}

/// What of a path makes its cost grow faster than the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathShape {
    /// `..` that come across a value once for each level above it.
    again: u32,
    /// Filters that go through the whole body for each value (`$` in a filter).
    whole: u32,
    /// Selectors between two brackets, and arguments.
    unions: u64,
    regex: bool,
}

impl PathShape {
    pub(super) fn of(path: &JsonPath) -> PathShape {
        // The crate hands out a path's parts in no other way; a name that looks
        // like one makes the estimate higher.
        let parts = format!("{path:?}");
        let count = |part| parts.matches(part).count();
        let first = |part| parts.find(part).unwrap_or(parts.len());
        // From the root or from values side by side, the first one comes across each value once.
        let once = first("kind: Descendant") < first("Filter(");
        let few = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        PathShape {
            again: few(count("kind: Descendant") - usize::from(once)),
            whole: few(count("kind: Root").saturating_sub(1)),
            unions: 1 + path.to_string().matches(',').count() as u64,
            regex: count("name: \"match\"") + count("name: \"search\"") > 0,
        }
    }

    /// What it costs to ask a body of this size, in bytes.
    pub(super) fn cost(self, Size { values, depth }: Size) -> u64 {
        let found = values
            .saturating_mul(depth.max(1).saturating_pow(self.again))
            .saturating_mul(self.unions);
        let looked_at = match self.whole {
            0 => 1,
            whole => values.saturating_pow(whole) / LOOKED_AT + 1,
        };
        let regex = if self.regex { REGEX } else { 1 };
        found
            .saturating_mul(looked_at)
            .saturating_mul(regex)
            .saturating_mul(VALUE + STEP * depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(path: &str) -> PathShape {
        PathShape::of(&JsonPath::parse(path).unwrap())
    }

    #[test]
    fn a_body_is_as_large_as_its_values_and_levels() {
        for (text, values, depth) in [
            ("1", 1, 0),
            (r#""[,{\"[""#, 1, 0),
            (r#"{"a":[1,2,{"b":"],["}],"c":3}"#, 7, 3),
            ("[[[", 4, 3),
            ("]]", 1, 0),
        ] {
            assert_eq!(Size::of(text.as_bytes()), Size { values, depth }, "{text}");
        }
    }

    #[test]
    fn a_path_s_shape_is_read_from_the_crate() {
        let plain = PathShape {
            again: 0,
            whole: 0,
            unions: 1,
            regex: false,
        };
        for path in ["$[-1]", "$..a", "$.a[*]..[?@.b=='x']", "$[?@.a==$.b]"] {
            assert_eq!(shape(path), plain, "{path}");
        }
        let again = |again| PathShape { again, ..plain };
        assert_eq!(shape("$..a..b"), again(1));
        assert_eq!(shape("$[?@..a]"), again(1));
        assert_eq!(shape("$..[?count(@..a)>1]"), again(1));
        let whole = |whole| PathShape { whole, ..plain };
        assert_eq!(shape("$[?count($.a[*])>1]"), whole(1));
        assert_eq!(shape("$[?count($[?count($[*])>1])>1]"), whole(2));
        assert_eq!(shape("$['a','b',1:]"), PathShape { unions: 3, ..plain });
        for path in ["$[?match(@.a,'x')]", "$[?@.a=='y'||!search(@.a,'x')]"] {
            assert!(shape(path).regex, "{path}");
        }
    }
}

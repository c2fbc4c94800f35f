//! What makes the records of one output comparable.
//!
//! Owns the comparison of a job's shape with the one that the checkpoint
//! remembers (promise 1: a checkpoint that does not fit is refused). Must never
//! hold a secret: a shape is written to disk as it is.

mod of_job;

use std::fmt;

/// What a record depends on, in order: `("request.method", "GET")`, `("request.url", …)` …
/// A name may come more than once. No secrets are in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// Name and value.
    pub fields: Vec<(String, String)>,
}

/// One field that the job and the checkpoint do not agree about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field's name.
    pub field: String,
    /// What the checkpoint remembers; `None`: nothing.
    pub old: Option<String>,
    /// What the job says now; `None`: nothing.
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = self.old.as_deref().unwrap_or("(nothing)");
        let new = self.new.as_deref().unwrap_or("(nothing)");
        write!(f, "{}: {old} -> {new}", self.field)
    }
}

impl Shape {
    /// Adds a field unless there is one of that name.
    pub(crate) fn or_insert(&mut self, field: &str, value: impl FnOnce() -> String) {
        if !self.fields.iter().any(|(name, _)| name == field) {
            self.fields.push((field.to_owned(), value()));
        }
    }

    /// Every field that differs, this shape being the old one; empty when none does.
    pub fn differences(&self, new: &Shape) -> Vec<Difference> {
        if self == new {
            return Vec::new();
        }
        let mut found: Vec<Difference> = Vec::new();
        for (field, _) in self.fields.iter().chain(&new.fields) {
            if found.iter().any(|difference| difference.field == *field) {
                continue;
            }
            let (before, after) = (self.values(field), new.values(field));
            if before != after {
                found.push(Difference {
                    field: field.clone(),
                    old: before,
                    new: after,
                });
            }
        }
        if found.is_empty() {
            let (old, new) = (Some(self.names()), Some(new.names()));
            found.push(Difference {
                field: "order of the fields".to_owned(),
                old,
                new,
            });
        }
        found
    }

    /// Whether both say the same of a field.
    pub(crate) fn agrees(&self, other: &Shape, field: &str) -> bool {
        self.values(field) == other.values(field)
    }

    /// All values of a field.
    fn values(&self, field: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter(|(name, _)| name == field)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// All names.
    fn names(&self) -> String {
        self.fields
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(fields: &[(&str, &str)]) -> Shape {
        Shape {
            fields: fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn differences_are_told_field_by_field() {
        let old = shape(&[
            ("method", "GET"),
            ("query", "a=1"),
            ("query", "b=2"),
            ("gone", "x"),
        ]);
        let new = shape(&[
            ("method", "POST"),
            ("query", "a=1"),
            ("query", "b=3"),
            ("come", "y"),
        ]);
        let told: Vec<String> = old
            .differences(&new)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "method: GET -> POST",
                "query: a=1, b=2 -> a=1, b=3",
                "gone: x -> (nothing)",
                "come: (nothing) -> y"
            ]
        );
        assert!(old.differences(&old.clone()).is_empty());
    }

    #[test]
    fn order_counts() {
        let told = shape(&[("a", "1"), ("b", "2")]).differences(&shape(&[("b", "2"), ("a", "1")]));
        assert_eq!(told[0].to_string(), "order of the fields: a, b -> b, a");
    }
}

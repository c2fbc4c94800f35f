//! How long a token is used, from what the server said of it.

use std::time::Duration;

/// No token is believed to live longer: a year of seconds that were milliseconds, say.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// `expires_in` as servers really send it: a number, a number in quotes, a
/// fraction, or nonsense. `None` when it says nothing usable; the token is then
/// used until it is refused.
pub(super) fn believable(expires_in: Option<&serde_json::Value>) -> Option<Duration> {
    let seconds = match expires_in? {
        serde_json::Value::Number(number) => number.as_f64()?,
        serde_json::Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if !seconds.is_finite() || seconds <= 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// How long before its expiry a token is renewed: a tenth of its life, a
/// minute at most. A fixed margin would renew a short-lived token at each call.
pub(super) fn margin(life: Duration) -> Duration {
    (life / 10).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expires_in_missing_or_absurd_is_not_believed() {
        for nothing in [
            json!(null),
            json!(0),
            json!(-5),
            json!("soon"),
            json!([1]),
            json!("NaN"),
        ] {
            assert_eq!(believable(Some(&nothing)), None, "{nothing}");
        }
        assert_eq!(believable(None), None);
        assert_eq!(
            believable(Some(&json!(3600))),
            Some(Duration::from_secs(3600))
        );
        assert_eq!(
            believable(Some(&json!("3600"))),
            Some(Duration::from_secs(3600))
        );
        assert_eq!(
            believable(Some(&json!(1.5))),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(believable(Some(&json!(1e300))), Some(LONGEST));
        assert_eq!(believable(Some(&json!(u64::MAX))), Some(LONGEST));
    }

    #[test]
    fn the_margin_follows_the_life() {
        assert_eq!(margin(Duration::from_secs(2)), Duration::from_millis(200));
        assert_eq!(margin(Duration::from_secs(3600)), Duration::from_secs(60));
    }
}

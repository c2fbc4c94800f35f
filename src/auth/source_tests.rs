//! Renewal with a refresh token, by scripted servers and stores.

use super::*;

//! The stages beside the engine, each on a thread or a task of its own: the
//! reader of IDs (and an update's filter behind it), the writer, and the token.
//! The engine speaks to each through bounded channels or shared values.

pub(super) mod id_stream;
pub(super) mod ids;
pub(super) mod tokens;
pub(super) mod update_filter;
pub(super) mod writer;

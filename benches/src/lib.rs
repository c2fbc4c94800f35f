//! What the programs of the bench share: the IDs that are asked for, and the
//! track that each of them makes.

pub mod ids;
pub mod track;

//! Test aids: the house table's generator, and a workspace on disk in which the built programs run.

mod houses;
mod workspace;

pub use houses::{Dirt, HEADER, write_houses};
pub use workspace::{Run, Workspace, binary, repository};

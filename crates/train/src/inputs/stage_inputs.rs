//! Everything that a training reads, except for the rows.

use artifact::FileEntry;
use drift::Reference;
use features::Preprocessor;

use crate::inputs::lineage::InputLineage;

/// The inputs of a training.
pub(crate) struct StageInputs {
    /// The featured table.
    pub(crate) data: FileEntry,
    pub(crate) preprocessor_file: FileEntry,
    pub(crate) reference_file: FileEntry,
    pub(crate) preprocessor: Preprocessor,
    /// The distributions of the training rows.
    pub(crate) reference: Reference,
    pub(crate) lineage: InputLineage,
}

impl StageInputs {
    /// The name of the target.
    pub(crate) fn target(&self) -> &str {
        &self.preprocessor.schema().target().name
    }

    /// The fingerprint of the schema.
    pub(crate) fn schema(&self) -> String {
        self.preprocessor.schema().fingerprint()
    }

    /// The files, in the order in which the manifest names them.
    pub(crate) fn files(&self) -> [FileEntry; 3] {
        [self.data.clone(), self.preprocessor_file.clone(), self.reference_file.clone()]
    }
}

//! What is known of programs that are ours: of an author's, nothing is known but how they are written.

use crate::model::Detail;
use serde::{Deserialize, Serialize};

/// What programs of ours do, for people, who are not shown their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Own {
    /// In a few words.
    pub title: String,
    /// What changes.
    pub does: Vec<Detail>,
    /// What changes when it is taken back.
    pub undoes: Vec<Detail>,
}

impl Own {
    /// The same, of what takes it back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            title: self.title.clone(),
            does: self.undoes.clone(),
            undoes: self.does.clone(),
        }
    }
}

use std::{io, path::PathBuf};

use super::CallRecord;

/// Leaves each ended call as one JSON file, `<CallSid>.json`, readable by its owner only: it holds what was said.
#[derive(Clone, Debug)]
pub struct RecordFiles {
    folder: PathBuf,
}

impl RecordFiles {
    /// Writes into `folder`, which is made if missing.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn in_folder(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let probe = folder.join(".writable");
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(probe))?;
        Ok(Self { folder })
    }

    /// Writes the record whole or not at all, over an earlier one of the same call.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn write(&self, record: &CallRecord) -> io::Result<()> {
        // A CallSid is letters and digits only, so it names a file in this folder and nothing else.
        let path = self.folder.join(format!("{}.json", record.call_sid));
        let unfinished = path.with_extension("json.part");
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&unfinished).await?;
        let json = serde_json::to_vec_pretty(record)?;
        tokio::io::AsyncWriteExt::write_all(&mut file, &json).await?;
        file.sync_all().await?;
        tokio::fs::rename(unfinished, path).await
    }
}

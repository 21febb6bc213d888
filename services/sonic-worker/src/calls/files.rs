use std::{io, path::PathBuf, sync::Arc};

use tokio::sync::Mutex;
use tracing::warn;

use super::{CallRecord, CallSid, CallStore};

/// Leaves each ended call as one JSON file, `<CallSid>.json`, readable by its owner only: it holds what was said.
#[derive(Clone, Debug)]
pub struct RecordFiles {
    folder: PathBuf,
    /// One at a time, so that the last one written is the newest.
    writing: Arc<Mutex<()>>,
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
        Ok(Self { folder, writing: Arc::default() })
    }

    /// Writes the call's record as it stands, whole or not at all, over an earlier one. What goes wrong is logged.
    pub async fn write(&self, store: &dyn CallStore, call: &CallSid) {
        let _one_at_a_time = self.writing.lock().await;
        match store.record(call).await {
            Ok(Some(record)) => {
                if let Err(error) = self.write_record(&record).await {
                    warn!(%error, "the call's record could not be written to its file");
                }
            }
            Ok(None) => warn!("the call's record is gone before it could be written to its file"),
            Err(error) => warn!(%error, "the call's record could not be read"),
        }
    }

    async fn write_record(&self, record: &CallRecord) -> io::Result<()> {
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

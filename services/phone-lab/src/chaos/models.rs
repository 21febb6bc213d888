//! The models of a run: a simulated Bedrock for each worker, which tells by what worker a word came.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::Context;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::net::TcpListener;

use super::ears::{Ears, Session};
use crate::bedrock::{self, CertificateAuthority, Server};

/// A simulated Bedrock for each worker. The file with their authority goes with this.
pub(super) struct Models {
    servers: Vec<Server>,
    ears: Vec<Ears>,
    settings: bedrock::Settings,
    ca_file: PathBuf,
}

impl Drop for Models {
    fn drop(&mut self) {
        // What is left of it is a file in the folder for temporary ones.
        let _ = fs::remove_file(&self.ca_file);
    }
}

impl Models {
    pub(super) async fn start(workers: usize, calls: u16, entropy: &mut Entropy) -> anyhow::Result<Self> {
        let ca = CertificateAuthority::new()?;
        let ca_file = std::env::temp_dir().join(format!("phone-lab-ca-{}.pem", Entropy::from_os().uuid()));
        // A call that was refused by a model at its limit would say nothing about the services.
        let max_sessions = usize::from(calls);
        let settings = bedrock::Settings { max_sessions, keep_audio: false, ..bedrock::Settings::default() };
        let mut models = Self { servers: Vec::new(), ears: Vec::new(), settings, ca_file };
        ca.write_pem(&models.ca_file)?;
        for worker in 0..workers {
            let ears = Ears::new(worker, Clock);
            let settings = bedrock::Settings { echo: Some(Arc::new(ears.clone())), ..models.settings.clone() };
            let listener = TcpListener::bind("127.0.0.1:0").await.context("no port on loopback")?;
            let names = ["127.0.0.1".to_owned()];
            models.servers.push(Server::start(listener, &ca, &names, settings, Clock, entropy.fork())?);
            models.ears.push(ears);
        }
        Ok(models)
    }

    /// What a worker needs to use its own.
    pub(super) fn environment(&self, worker: usize, calls: u16) -> [(&'static str, String); 7] {
        [
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("https://{}", self.servers[worker].address())),
            ("AWS_CA_BUNDLE", self.ca_file.display().to_string()),
            ("AWS_REGION", self.settings.region.clone()),
            ("AWS_ACCESS_KEY_ID", self.settings.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.settings.secret_access_key.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("MAX_SESSIONS", calls.to_string()),
        ]
    }

    /// All sessions so far.
    pub(super) fn sessions(&self) -> Vec<Session> {
        self.ears.iter().flat_map(Ears::sessions).collect()
    }

    /// What the services did wrong, and how often.
    pub(super) async fn stop(mut self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for server in std::mem::take(&mut self.servers) {
            let wrong = server.reports().into_iter().flat_map(|session| session.violations).chain(server.refusals());
            wrong.for_each(|what| *counts.entry(what).or_default() += 1);
            server.stop().await;
        }
        counts
    }
}

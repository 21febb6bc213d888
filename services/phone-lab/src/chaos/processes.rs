//! What a run starts by itself: the real binaries, with environments that make them know each other.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    PUBLIC_URL,
    fleet::{self, Member},
    models::Models,
    plan::{Outline, Role, Victim},
    strikes::Mortal,
};
use crate::twilio::Account;

const TICKET_KEY: &str = "a ticket key that only the lab's own edges use";

/// Binaries, and what they are started with.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The edge's binary.
    pub edge: PathBuf,
    /// The worker's binary.
    pub worker: PathBuf,
    /// Further environment of all processes; wins over the lab's own.
    pub environment: Vec<(String, String)>,
    /// Folder that gets a log for each process.
    pub logs: Option<PathBuf>,
}

impl Processes {
    /// The processes, workers first, when all are ready, and where the edges listen.
    pub(super) async fn start(
        &self,
        outline: &Outline,
        calls: u16,
        models: &Models,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Vec<Member>, Vec<SocketAddr>)> {
        let Outline { edges, workers, .. } = *outline;
        let mut addresses = fleet::free_addresses(2 * (edges + workers))?.into_iter();
        let mut pairs = std::iter::from_fn(|| Some((addresses.next()?, addresses.next()?)));
        let (mut members, mut grpc, mut public) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..workers {
            let (listen, admin) = pairs.next().context("an address for each")?;
            grpc.push(format!("http://{listen}"));
            let environment = models.environment(index, calls);
            let own = [("WORKER_LISTEN", listen.to_string()), ("WORKER_ADMIN_LISTEN", admin.to_string())];
            members.push(self.member(Victim { role: Role::Worker, index }, admin, own.into_iter().chain(environment)));
        }
        for (index, (listen, admin)) in pairs.enumerate() {
            public.push(listen);
            let own = [
                ("EDGE_LISTEN", listen.to_string()),
                ("EDGE_ADMIN_LISTEN", admin.to_string()),
                ("SONIC_WORKERS", grpc.join(",")),
                ("PUBLIC_URL", PUBLIC_URL.to_owned()),
                ("TWILIO_AUTH_TOKEN", Account::default().auth_token),
                ("TWILIO_ACCOUNT_SID", Account::default().account_sid),
                ("OFFHOOK_TICKET_KEY", TICKET_KEY.to_owned()),
            ];
            members.push(self.member(Victim { role: Role::Edge, index }, admin, own));
        }
        for member in &mut members {
            tokio::select! {
                started = member.start() => started?,
                () = stop.cancelled() => anyhow::bail!("stopped before everything was ready"),
            }
        }
        Ok((members, public))
    }

    fn member(
        &self,
        victim: Victim,
        admin: SocketAddr,
        own: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Member {
        let program = match victim.role {
            Role::Edge => &self.edge,
            Role::Worker => &self.worker,
        };
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let environment = own.chain(self.environment.iter().cloned()).collect();
        Member::new(victim, program, environment, admin, self.logs.as_deref())
    }
}

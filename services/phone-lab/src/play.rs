//! `phone-lab play`: the calls of scenarios against a server that runs elsewhere, Offhook's or any other that speaks
//! Twilio; and the report on them.
//!
//! Each call draws from a source of its own, which follows from the seed and the call's place in its file: the same call
//! has the same identifiers whatever is played beside it.

mod call;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::call::{Stage, place};
use crate::{
    bedrock::{self, CertificateAuthority, Server},
    credentials::CredentialEndpoint,
    pair::renewal,
    report::{Call, NotPlayed, Placed, Run},
    scenario::{Scenario, ScenarioCall},
    show::tell,
    twilio::{Settings, Twilio},
};

/// How often it is seen whether the edge is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Scenarios to play.
pub struct Play {
    /// Where calls go.
    pub twilio: Settings,
    /// What is played, in this order.
    pub scenarios: Vec<Scenario>,
    /// The calls to play, by name; all if there are none.
    pub only: Vec<String>,
    /// The seed of everything drawn by the lab.
    pub seed: u64,
    /// How many calls are up at a time. With a model of the lab's own, one: nothing else says whose session is whose.
    pub parallel: usize,
    /// Gets recordings and reports, call by call.
    pub out: Option<PathBuf>,
    /// The lab's own model for the server to use.
    pub model: Option<Model>,
}

/// A model that the lab serves while it plays: the script of the scenario that is being played.
pub struct Model {
    /// Where.
    pub listen: SocketAddr,
    /// Where the second region is, of a scenario that has one.
    pub second_listen: Option<SocketAddr>,
    /// Where credentials are handed out, of a scenario whose credentials do not last.
    pub credentials_listen: Option<SocketAddr>,
    /// How, but for what the scenario says.
    pub settings: bedrock::Settings,
    /// Whom its clients trust.
    pub ca: CertificateAuthority,
    /// The file that says so.
    pub ca_out: PathBuf,
}

impl Model {
    async fn start(
        &self,
        listen: SocketAddr,
        flag: &str,
        settings: bedrock::Settings,
        entropy: Entropy,
    ) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("{flag} {listen}"))?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), listen.ip().to_string()];
        Server::start(listener, &self.ca, &names, settings, Clock, entropy)
    }
}

/// A call with all it needs.
struct Planned {
    nth: usize,
    scenario: Arc<str>,
    call: ScenarioCall,
    twilio: Twilio,
}

impl Play {
    /// Plays until the last call is over or it is time to stop; calls that are up then are left, and not reported.
    ///
    /// # Errors
    /// If there is no such call, nothing listens at the edge, the model cannot be served, or a file cannot be written.
    pub async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<Run> {
        self.check_names()?;
        if let Some(out) = &self.out {
            fs::create_dir_all(out).with_context(|| format!("--out {}", out.display()))?;
        }
        let placed = Placed { at: Clock.now(), wall: Clock.wall() };
        let mut entropy = Entropy::from_seed(self.seed);
        let (mut calls, mut not_played) = (Vec::new(), Vec::new());
        let mut reached = false;
        for scenario in std::mem::take(&mut self.scenarios) {
            // Drawn for each scenario, played or not, so that the next one draws the same.
            let (of_model, planned) = (entropy.fork(), self.planned(&scenario, &mut entropy));
            if planned.is_empty() {
                continue;
            }
            let (servers, credentials) = self.serve(&scenario, of_model).await?;
            if !std::mem::replace(&mut reached, true) {
                self.reach_edge(&scenario, &servers, credentials.as_ref(), stop).await?;
            }
            let names: Vec<_> = planned.iter().map(|planned| planned.call.name.clone()).collect();
            let played = self.play(planned, &servers, stop).await?;
            let is_left = |name: &String| !played.iter().any(|call| call.name == *name);
            let left = names.into_iter().filter(is_left);
            not_played.extend(left.map(|name| NotPlayed { scenario: scenario.name.clone(), name }));
            calls.extend(played);
            for server in servers {
                server.stop().await;
            }
        }
        let edge = format!("http://{}", self.twilio.edge);
        Ok(Run::new(edge, self.seed, placed, Clock.now() - placed.at, calls, not_played))
    }

    fn check_names(&self) -> anyhow::Result<()> {
        let known: Vec<_> = self.scenarios.iter().flat_map(|scenario| &scenario.calls).map(|call| &call.name).collect();
        let unknown = self.only.iter().find(|name| !known.contains(name));
        let listed = || known.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        unknown.map_or(Ok(()), |name| anyhow::bail!("--only {name}: the calls are {}", listed()))
    }

    /// Every call of the scenario draws its source, played or not.
    fn planned(&self, scenario: &Scenario, entropy: &mut Entropy) -> Vec<Planned> {
        let name: Arc<str> = scenario.name.as_str().into();
        let plan = scenario.calls.iter().enumerate().filter_map(|(nth, call)| {
            let twilio = Twilio::new(self.twilio.clone(), Clock, entropy.fork());
            let wanted = self.only.is_empty() || self.only.contains(&call.name);
            wanted.then(|| Planned { nth, scenario: Arc::clone(&name), call: call.clone(), twilio })
        });
        plan.collect()
    }

    /// The model in each region that the scenario has, the first being home, and who hands out credentials.
    async fn serve(
        &mut self,
        scenario: &Scenario,
        mut entropy: Entropy,
    ) -> anyhow::Result<(Vec<Server>, Option<CredentialEndpoint>)> {
        let Some(model) = &mut self.model else { return Ok((Vec::new(), None)) };
        let settings = scenario.bedrock(model.settings.clone());
        let mut servers = Vec::new();
        if let Some(second) = scenario.second_bedrock(model.settings.clone()) {
            let listen = model.second_listen.context("the scenario has a second region: it needs --second-listen")?;
            servers.push(model.start(listen, "--second-listen", second, entropy.fork()).await?);
        }
        let mut credentials = None;
        if scenario.credentials_last.is_some() {
            let listen = model.credentials_listen.context("the scenario's credentials need --credentials-listen")?;
            credentials = Some(CredentialEndpoint::start(listen, settings.clone()).await?);
        }
        let home = model.start(model.listen, "--bedrock-listen", settings, entropy).await?;
        // A port that the system chose stays the same for all scenarios.
        model.listen = home.address();
        servers.insert(0, home);
        Ok((servers, credentials))
    }

    /// A server that is to use the lab's own model can only be started now, so it is waited for.
    async fn reach_edge(
        &self,
        scenario: &Scenario,
        servers: &[Server],
        credentials: Option<&CredentialEndpoint>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let edge = self.twilio.edge;
        if let (Some(server), Some(model)) = (servers.first(), &self.model) {
            let settings = scenario.bedrock(model.settings.clone());
            let environment = environment(&settings, &server.address().to_string(), &model.ca_out);
            tell(format_args!("start the worker, then the edge, with\n{environment}\n"));
            let mut more = renewal(settings.session_limit());
            more.extend(credentials.map(|endpoint| ("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.uri())));
            if let (Some(second), Some(region)) = (servers.get(1), &scenario.second_region) {
                let regions = format!("{},{region}=https://{}", settings.region, second.address());
                more.push(("BEDROCK_REGIONS", regions));
            }
            more.iter().for_each(|(name, value)| tell(format_args!("  {name}={value}\n")));
            wait_for(edge, stop).await;
            anyhow::ensure!(!stop.is_cancelled(), "stopped before anything listened at {edge}");
            return Ok(());
        }
        TcpStream::connect(edge).await.map(drop).with_context(|| format!("--edge: nothing to call at {edge}"))
    }

    async fn play(
        &self,
        planned: Vec<Planned>,
        servers: &[Server],
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<Call>> {
        let (mut waiting, mut live, mut played) = (planned.into_iter(), JoinSet::new(), Vec::new());
        loop {
            while live.len() < self.parallel.max(1)
                && !stop.is_cancelled()
                && let Some(Planned { nth, scenario, call, twilio }) = waiting.next()
            {
                let stage = Stage { twilio, models: servers.to_vec(), live: self.parallel <= 1, out: self.out.clone() };
                live.spawn(async move { (nth, place(&stage, &scenario, &call).await) });
            }
            tokio::select! {
                done = live.join_next() => match done {
                    Some(done) => {
                        let (nth, call) = done.context("a call panicked")?;
                        let call = call?;
                        tell(&call);
                        played.push((nth, call));
                    }
                    None => break,
                },
                () = stop.cancelled() => {
                    live.shutdown().await;
                    break;
                }
            }
        }
        played.sort_by_key(|(nth, _)| *nth);
        Ok(played.into_iter().map(|(_, call)| call).collect())
    }
}

/// What a worker needs in its environment to use a simulated Bedrock that is served so, in two lines.
pub fn environment(settings: &bedrock::Settings, authority: &str, ca_file: &Path) -> String {
    let bedrock::Settings { region, access_key_id, secret_access_key, .. } = settings;
    let ca_file = ca_file.display();
    let endpoint = format!("  AWS_ENDPOINT_URL_BEDROCK_RUNTIME=https://{authority} AWS_CA_BUNDLE={ca_file}\n  ");
    match settings.token_life {
        Some(_) => format!("{endpoint}AWS_REGION={region}"),
        None => format!(
            "{endpoint}AWS_REGION={region} AWS_ACCESS_KEY_ID={access_key_id} AWS_SECRET_ACCESS_KEY={secret_access_key}"
        ),
    }
}

/// Returns once something listens there, or it is time to stop.
pub async fn wait_for(edge: SocketAddr, stop: &CancellationToken) {
    let listens = async {
        while TcpStream::connect(edge).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    stop.run_until_cancelled(listens).await;
}

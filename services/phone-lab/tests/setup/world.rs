//! What the page is followed in: a checkout with services that are built, and the lab as Twilio and Bedrock.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener as StdListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use offhook_hosting::{clock::Clock, entropy::Entropy, env::Env};
use phone_lab::{
    bedrock::{self, CertificateAuthority, Pace, Script, Server},
    twilio::{
        Account, CallOptions, CallReport, Callee, CallerScript, Human, LoggedCode, Settings, Twilio,
        rest::{RestServer, RestSettings},
        url::Url,
    },
};
use tokio::net::TcpListener;

use crate::{page::Page, support::binaries};

const PUBLIC_URL: &str = "https://voice.example.test";
const OWN_PHONE: &str = "+15550100007";
const MODEL: &str = "
greeting: 'how can i help?'
dialogue:
  - { heard: 'put me through', tool: { name: support, input: { reason: asked }, reply: 'one moment.' } }
  - { heard: 'has spoken with a person', reply: 'welcome back.' }
";

pub(crate) struct World {
    folder: PathBuf,
    twilio: Twilio,
    rest: RestServer,
    bedrock: Server,
    edge: SocketAddr,
    ports: [SocketAddr; 3],
}

impl Drop for World {
    fn drop(&mut self) {
        // Left behind, it is in nobody's way.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Ports that are free now.
fn free() -> [SocketAddr; 4] {
    let listeners: [StdListener; 4] = std::array::from_fn(|_| StdListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("offhook-setup-{}", Entropy::from_os().uuid()));
        check_out(&folder);
        let [edge, ports @ ..] = free();
        let ca = CertificateAuthority::new().unwrap();
        ca.write_pem(&folder.join("ca.pem")).unwrap();
        let (script, pace) = (Script::from_yaml(MODEL).unwrap(), Pace::new(0.2).unwrap());
        let settings = bedrock::Settings { script, pace, ..bedrock::Settings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names = ["127.0.0.1".to_owned()];
        let bedrock = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_seed(1)).unwrap();
        let twilio = Twilio::new(Settings::new(edge, &Url::parse(PUBLIC_URL).unwrap()), Clock, Entropy::from_seed(2));
        let own_phone = Callee::answers(Duration::from_millis(200), caller("+1", "[listen, hang_up]"));
        let rest =
            RestSettings { callees: vec![(OWN_PHONE.to_owned(), own_phone)], ..RestSettings::new(Callee::NoAnswer) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rest = RestServer::start(listener, twilio.clone(), rest).unwrap();
        Self { folder, twilio, rest, bedrock, edge, ports }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a reader's shell would have, and where the lab is.
    pub(crate) fn environment(&self) -> BTreeMap<&'static str, String> {
        let [edge_admin, worker, worker_admin] = self.ports;
        let path = Env::of_process().value("PATH").unwrap_or_default().to_owned();
        [
            ("PATH", format!("{}:{path}", self.folder.join("bin").display())),
            ("HOME", self.folder.display().to_string()),
            ("TWILIO_API_BASE_URL", format!("http://{}", self.rest.address())),
            ("EDGE_LISTEN", self.edge.to_string()),
            ("EDGE_ADMIN_LISTEN", edge_admin.to_string()),
            ("WORKER_LISTEN", worker.to_string()),
            ("WORKER_ADMIN_LISTEN", worker_admin.to_string()),
            ("SONIC_WORKERS", format!("http://{worker}")),
            ("AWS_CA_BUNDLE", self.folder.join("ca.pem").display().to_string()),
        ]
        .into()
    }

    /// Fills in what the page says is the reader's to fill in; and where the lab's Bedrock is, which is no page's business.
    pub(crate) fn fill_in(&self, page: &Page) {
        let Account { account_sid, auth_token, .. } = Account::default();
        let aws = bedrock::Settings::default();
        let known: BTreeMap<&str, String> = [
            ("TWILIO_ACCOUNT_SID", account_sid),
            ("TWILIO_AUTH_TOKEN", auth_token),
            ("TWILIO_VERIFIED_CALLER_ID", OWN_PHONE.to_owned()),
            ("PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("AWS_REGION", aws.region),
            ("AWS_ACCESS_KEY_ID", aws.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", aws.secret_access_key),
            ("AWS_SESSION_TOKEN", String::new()),
        ]
        .into();
        let mut text = fs::read_to_string(self.folder.join(".env")).unwrap();
        let endpoint = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".to_owned(), format!("https://{}", self.bedrock.address()));
        let told = page.to_fill_in().into_iter().map(|name| {
            let value = known.get(name.as_str()).unwrap_or_else(|| panic!("{name}: nobody can know that")).clone();
            (name, value)
        });
        for (name, value) in told.chain([endpoint]) {
            let (mut found, mut lines) = (false, Vec::new());
            for line in text.lines() {
                let is_it = line.split('=').next() == Some(name.as_str());
                found |= is_it;
                lines.push(if is_it { format!("{name}={value}") } else { line.to_owned() });
            }
            assert!(found, "{name} is not in .env.example");
            text = lines.join("\n") + "\n";
        }
        fs::write(self.folder.join(".env"), text).unwrap();
    }

    /// What `cargo` was asked to do.
    pub(crate) fn cargo_was_asked(&self) -> Vec<String> {
        fs::read_to_string(self.folder.join("cargo.log")).unwrap().lines().map(str::to_owned).collect()
    }

    /// A call by somebody with a phone. Whoever is dialled answers.
    pub(crate) async fn call(&self, to: &str, steps: &str) -> CallReport {
        let desk = "[{ wait: 1s }, { press: '1' }, connected, { say: desk here }, { wait: 300ms }, hang_up]";
        let human = Human::acts(Duration::from_millis(500), desk).unwrap();
        let options = CallOptions { human, ..CallOptions::default() };
        self.twilio.call(caller(to, steps), options).await
    }

    /// What became of the call that the edge said it had placed.
    pub(crate) async fn placed_call(&self, shown: &str) -> CallReport {
        let sid = shown.rfind("\"CA").and_then(|at| shown.get(at + 1..at + 35));
        self.rest.report(sid.unwrap_or_else(|| panic!("no CallSid in\n{shown}"))).await
    }

    pub(crate) fn debugger(&self) -> Vec<LoggedCode> {
        self.twilio.debugger()
    }

    /// Whether all sessions of the model have ended as the service asks.
    pub(crate) async fn model_was_used_by_the_book(&self) -> bool {
        self.bedrock.sessions_end_within(Duration::from_secs(10)).await
            && self
                .bedrock
                .reports()
                .iter()
                .all(|session| session.end == Some(bedrock::SessionEnd::ByTheBook) && session.violations.is_empty())
    }
}

fn caller(to: &str, steps: &str) -> CallerScript {
    CallerScript::from_yaml(&format!("from: '+15550100001'\nto: '{to}'\nsteps: {steps}")).unwrap()
}

/// A checkout whose services are built: those of this test.
fn check_out(folder: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::create_dir_all(folder.join("target")).unwrap();
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::copy(here.join(".env.example"), folder.join(".env.example")).unwrap();
    symlink(binaries(), folder.join("target/release")).unwrap();
    let cargo = folder.join("bin/cargo");
    fs::write(&cargo, "#!/bin/sh\necho \"$@\" >> \"$HOME/cargo.log\"\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
}

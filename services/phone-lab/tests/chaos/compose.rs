//! Services of a compose file, without Docker: a script stands in for it, and the services are processes.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use offhook_hosting::entropy::Entropy;
use serde_json::Value;

use crate::support::{alive, binaries, tag};

/// How many a stage takes.
const PORTS: u16 = 5;

/// A compose file that nothing reads, a Docker that is a script, and a folder for both.
struct Stage {
    folder: PathBuf,
    tag: String,
    /// The edge's; the others follow it.
    port: u16,
    bedrock: Option<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in alive(&self.tag) {
            let pid = process.rsplit('/').next().unwrap_or_default().to_owned();
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
        if let Some(mut bedrock) = self.bedrock.take() {
            let _ = (bedrock.kill(), bedrock.wait());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// Docker does this, with `$service` the last word.
    fn new(docker: &str) -> Self {
        let mut entropy = Entropy::from_os();
        let folder = std::env::temp_dir().join(format!("chaos-compose-{}", entropy.uuid()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("compose.yml"), "").unwrap();
        // Below the ports of outgoing connections: nobody takes one while its process is gone.
        let mut drawn = std::iter::repeat_with(|| entropy.between(10_000, 31_000) as u16);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let port = drawn.find(|port| (*port..port + PORTS).all(is_free)).unwrap();
        let stage = Self { folder, tag: tag(), port, bedrock: None };
        let folder = stage.folder.display();
        stage.script("docker", &format!("cd {folder}\necho \"$*\" >> said\nfor service; do :; done\n{docker}"));
        stage
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// An edge and a worker that `start` starts and `kill` kills, and a model that says what it hears.
    fn with_services() -> Self {
        let mut stage = Self::new(DOCKER);
        let (bin, folder, tag, port) = (binaries().display(), stage.folder.display(), &stage.tag, stage.port);
        let [grpc, edge_admin, worker_admin, bedrock] = [port + 1, port + 2, port + 3, port + 4];
        let local = |port: u16| format!("127.0.0.1:{port}");
        let aws = "AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=AKIDEXAMPLE \
                   AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let (edge, grpc) = (local(port), local(grpc));
        let (edge_admin, worker_admin) = (local(edge_admin), local(worker_admin));
        stage.script(
            "edge",
            &format!(
                "exec env -i {tag} EDGE_LISTEN={edge} EDGE_ADMIN_LISTEN={edge_admin} SONIC_WORKERS=http://{grpc} \
                 PUBLIC_URL=https://voice.example.test TWILIO_AUTH_TOKEN=a-token {bin}/edge \"$@\""
            ),
        );
        stage.script(
            "sonic-worker",
            &format!(
                "exec env -i {tag} WORKER_LISTEN={grpc} WORKER_ADMIN_LISTEN={worker_admin} {aws} \
                 AWS_CA_BUNDLE={folder}/ca.pem AWS_ENDPOINT_URL_BEDROCK_RUNTIME=https://127.0.0.1:{bedrock} \
                 {bin}/sonic-worker \"$@\""
            ),
        );
        let mut model = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
        model.args(["bedrock", "--listen", &local(bedrock), "--ca-out"]).arg(stage.folder.join("ca.pem"));
        model.env("PHONE_LAB_ECHO", "true").stdout(Stdio::null());
        stage.bedrock = Some(model.spawn().unwrap());
        while TcpStream::connect(local(bedrock)).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        for service in ["sonic-worker", "edge"] {
            let docker =
                |arguments: &[&str]| Command::new(stage.folder.join("docker")).args(arguments).output().unwrap();
            assert!(docker(&["compose", "start", service]).status.success());
            while !String::from_utf8_lossy(&docker(&["inspect", service]).stdout).contains("healthy") {
                thread::sleep(Duration::from_millis(50));
            }
        }
        fs::remove_file(stage.folder.join("said")).unwrap();
        stage
    }

    fn chaos(&self, flags: &[&str]) -> Output {
        self.start_chaos(flags).wait_with_output().unwrap()
    }

    fn start_chaos(&self, flags: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
        let edge = format!("http://127.0.0.1:{}", self.port);
        command.args(["chaos", "--compose"]).arg(self.folder.join("compose.yml")).args(["--edge", &edge]).args(flags);
        let usual = std::env::split_paths("/usr/bin:/bin");
        command.env("PATH", std::env::join_paths(std::iter::once(self.folder.clone()).chain(usual)).unwrap());
        command.env_remove("PUBLIC_URL").env("TWILIO_AUTH_TOKEN", "a-token");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What Docker was told, but for questions.
    fn told_docker(&self) -> Vec<String> {
        let said = fs::read_to_string(self.folder.join("said")).unwrap_or_default();
        let path = format!("{} ", self.folder.join("compose.yml").display());
        let orders = said.lines().filter(|line| line.contains(" kill ") || line.contains(" start "));
        orders.map(|line| line.replace(&path, "")).collect()
    }
}

/// Each service has a container of its own name.
const DOCKER: &str = r#"
up() {
  [ -f "$1.pid" ] && pid=$(cat "$1.pid") && [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"
}
case "$*" in
  "compose version") ;;
  *" ps -q "*) if up "$service"; then echo "$service"; fi ;;
  *" kill -s SIGKILL "*) kill -9 "$(cat "$service.pid")" ;;
  *" start "*)
    "./$service" >"$service.log" 2>&1 &
    echo $! >"$service.pid" ;;
  inspect*)
    if ! up "$service"; then echo "false unhealthy $(cat "$service.pid")"
    elif "./$service" healthcheck >/dev/null 2>&1; then echo "true healthy $(cat "$service.pid")"
    else echo "true starting $(cat "$service.pid")"; fi ;;
  *) exit 64 ;;
esac"#;

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Today's truth, not a wish: calls do not outlive their process yet.
#[test]
fn today_calls_are_lost_when_their_service_is_killed_and_the_service_is_up_at_the_end() {
    let stage = Stage::with_services();
    let json = stage.folder.join("report.json");
    let run = ["--calls", "2", "--seconds", "16", "--every", "5s", "--project", "trial"];
    let kills = |whom| stage.chaos(&[&run[..], &["--kill", whom, "--json", json.to_str().unwrap()]].concat());
    for (whom, service, victim) in [("worker", "sonic-worker", "worker 1"), ("edge", "edge", "edge 1")] {
        let output = kills(whom);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let report = report(&json);
        let kill = &report["kills"][0];
        assert_eq!((&kill["victim"], &kill["carried"], &kill["lived"]), (&victim.into(), &2.into(), &0.into()));
        assert!(kill["legs"].is_null() && kill["back_after_ms"].as_u64().is_some(), "{kill}");
        let calls = report["calls"].as_array().unwrap();
        assert!(calls[..2].iter().all(|call| call["lost"].as_u64() > Some(0)), "{report:#}");
        assert!(calls[2..].iter().any(|call| call["lived"] == true && call["lost"] == 0), "{report:#}");
        assert!(calls.iter().all(|call| call["lost_to_model"].is_null() && call["lost_to_caller"].is_null()));
        assert!(report["violations"].is_null() && report["crashes"].as_array().unwrap().is_empty(), "{report:#}");
        let orders = ["kill -s SIGKILL", "start"].map(|order| format!("compose -f -p trial {order} {service}"));
        assert_eq!(stage.told_docker()[..], orders, "{}", told(&output));
        fs::remove_file(stage.folder.join("said")).unwrap();
        assert_eq!(alive(&stage.tag).len(), 2, "both are up");
    }
}

#[test]
fn services_that_nobody_kills_lose_nothing() {
    let stage = Stage::with_services();
    let output = stage.chaos(&["--calls", "2", "--seconds", "5", "--kill", "none"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(stage.told_docker(), [""; 0]);
}

#[test]
fn services_that_are_not_up_and_healthy_are_told_before_any_call() {
    for (docker, explanation) in [
        ("exit 1", "neither runs here"),
        ("true", "the service sonic-worker of"),
        (r#"[ "$1" = inspect ] && echo "true none T" || echo id"#, "sonic-worker has no health check"),
        (r#"[ "$1" = inspect ] && echo "true starting T" || echo id"#, "sonic-worker is not healthy"),
        (r#"[ "$1" = inspect ] || echo id"#, "no state of sonic-worker"),
        (r#"[ "$2" = version ] || { echo no such project >&2; exit 3; }"#, "failed (exit status: 3): no such project"),
    ] {
        let stage = Stage::new(docker);
        stage.script("docker-compose", "exit 1");
        let output = stage.chaos(&[]);
        assert_eq!(output.status.code(), Some(2), "{docker}: {}", told(&output));
        assert!(told(&output).contains(explanation), "{docker}: {}", told(&output));
    }
}

#[test]
fn a_model_starts_with_the_variable_empty_false_or_true() {
    for value in ["", "false", "true"] {
        let ca = std::env::temp_dir().join(format!("{}.pem", tag().replace('=', "-")));
        let mut model = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
        model.args(["bedrock", "--listen", "127.0.0.1:0", "--ca-out"]).arg(&ca).env("PHONE_LAB_ECHO", value);
        let mut model = model.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(model.stdout.take().unwrap()).read_line(&mut line).unwrap();
        model.kill().unwrap();
        model.wait().unwrap();
        fs::remove_file(&ca).unwrap();
        assert!(line.starts_with("simulated Bedrock on https://"), "{value}: {line}");
    }
}

#[test]
fn where_docker_has_no_compose_docker_compose_is_told() {
    let stage = Stage::new(r#"[ "$1" = inspect ] && echo "true none T""#);
    let folder = stage.folder.display();
    stage.script("docker-compose", &format!("[ \"$1\" = version ] || echo \"$*\" >> {folder}/asked; echo id"));
    let output = stage.chaos(&[]);
    assert!(told(&output).contains("sonic-worker has no health check"), "{}", told(&output));
    let asked = fs::read_to_string(stage.folder.join("asked")).unwrap();
    assert_eq!(asked, format!("-f {folder}/compose.yml ps -q sonic-worker\n"));
}

#[test]
fn an_interrupted_run_leaves_the_service_up_that_it_had_killed() {
    let stage = Stage::with_services();
    let running = stage.start_chaos(&["--calls", "1", "--seconds", "60", "--every", "4s", "--kill", "worker"]);
    while stage.told_docker().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert!(told(&output).contains("stopped early"), "{}", told(&output));
    assert_eq!(stage.told_docker().len(), 2, "{}", told(&output));
    assert_eq!(alive(&stage.tag).len(), 2, "both are up");
}

#[test]
fn a_service_that_ends_by_itself_is_told_and_left_alone() {
    let stage = Stage::with_services();
    let running = stage.start_chaos(&["--calls", "1", "--seconds", "6", "--kill", "none"]);
    thread::sleep(Duration::from_secs(3));
    let pid = fs::read_to_string(stage.folder.join("sonic-worker.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("worker 1 ended by itself"), "{}", told(&output));
    assert_eq!(alive(&stage.tag).len(), 1, "what the lab has not killed, it does not start");
}

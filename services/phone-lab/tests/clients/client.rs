//! Runs a client.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use offhook_hosting::env::Env;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// No client takes this long; one that hangs is killed and fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    JavaScript,
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::JavaScript, Self::Python];

    /// A client in this language, by its name without an ending. It sees no variables but those that the test gives.
    pub(crate) fn client(self, name: &str) -> Command {
        let mut command = match self {
            Self::JavaScript => {
                let folder = self.installed("javascript", "package-lock.json");
                // Node looks for packages beside the script.
                let script = folder.join(format!("{name}.mjs"));
                fs::copy(sources().join(format!("javascript/{name}.mjs")), &script).unwrap();
                let mut command = Command::new("node");
                command.arg("--no-warnings").arg(script);
                command
            }
            Self::Python => {
                let mut command = Command::new(self.installed("python", "requirements.txt").join("python3"));
                command.arg(sources().join(format!("python/{name}.py")));
                command
            }
        };
        let path = Env::of_process().value("PATH").unwrap_or_default().to_owned();
        command.env_clear().env("PATH", path).kill_on_drop(true);
        command
    }

    /// Where `tests/clients/install` put what this lock file names.
    fn installed(self, folder: &str, lock: &str) -> PathBuf {
        let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients").join(folder);
        let wanted = fs::read(sources().join(folder).join(lock)).unwrap();
        let found = fs::read(installed.join("installed")).is_ok_and(|found| found == wanted);
        assert!(found, "the packages of the {self:?} clients are not installed: run .ci/run clients");
        installed
    }
}

/// Runs a client to its end; what it printed. It must end well.
pub(crate) async fn run(mut client: Command, input: &str) -> String {
    let output = output(&mut client, input).await;
    let (out, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{client:?}: {}\n{out}\n{errors}", output.status);
    out
}

/// Runs a client to its end, whatever that is.
pub(crate) async fn output(client: &mut Command, input: &str) -> Output {
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("the client ends in time").unwrap();
    // A client that does not read its input ends well all the same.
    let _ = writing.await;
    output
}

/// The folder of this file.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

//! The binaries, built if they are not, and what a run left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use offhook_hosting::entropy::Entropy;

/// What cargo tells a test about its own package. Build scripts that look at it would think that it had changed, and
/// everything after them would be built again, there and back.
const ABOUT_THIS_PACKAGE: [&str; 11] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// Where `edge` and `sonic-worker` are, built by the cargo, profile and target folder of this test.
pub(crate) fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_phone-lab")).parent().unwrap().to_owned();
        let profile = match folder.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev".to_owned(),
            other => other.to_owned(),
        };
        let mut target = folder.parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        ABOUT_THIS_PACKAGE.iter().for_each(|name| {
            build.env_remove(name);
        });
        build.args(["build", "--locked", "-p", "edge", "-p", "sonic-worker", "--profile", &profile]);
        // With `--target` the profile's folder is one deeper.
        if let Some(triple) =
            target.file_name().and_then(|name| name.to_str()).filter(|name| name.contains("-unknown-"))
        {
            build.args(["--target", triple]);
            target = target.parent().unwrap().to_owned();
        }
        let built = build.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success(), "the services cannot be built");
        folder
    })
}

/// Something that the processes of one run have in their environment, and nobody else has.
pub(crate) fn tag() -> String {
    format!("CHAOS_TEST={}", Entropy::from_os().uuid())
}

/// Processes that are up and have this in their environment.
pub(crate) fn alive(tag: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_tagged = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == tag.as_bytes())
    };
    processes.filter(is_tagged).map(|process| process.display().to_string()).collect()
}

//! Where things are.
//!
//! What enters: the folder that the verb was started in. What leaves: the paths that verbs share, and `cargo` commands
//! that run at the root. Never here: anything that is built or fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{Message, MetadataCommand};

/// The clone that the verb works on.
pub(crate) struct Workspace {
    /// Folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the environment or a configuration file puts it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which knows `CARGO_TARGET_DIR` and every configuration file.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("cargo cannot read the workspace: start `cargo xtask` inside the clone")?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// Folder of the finished kernel objects, where the agent's build script looks for them.
    pub(crate) fn bpf(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// A program at the root of the workspace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that runs this verb, at the root of the workspace.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.args(arguments);
        command
    }

    /// The path as a reader at the root would type it.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// Name and path of every executable that a `cargo … --message-format=json-render-diagnostics` run reports.
pub(crate) fn executables(stdout: &[String]) -> Vec<(String, PathBuf)> {
    stdout
        .iter()
        .flat_map(|line| Message::parse_stream(line.as_bytes()).flatten())
        .filter_map(|message| match message {
            Message::CompilerArtifact(artifact) => {
                artifact.executable.map(|path| (artifact.target.name, path.into_std_path_buf()))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_folder_of_the_environment_is_honoured() {
        let workspace = Workspace { root: "/clone".into(), target: "/elsewhere".into() };
        assert_eq!(workspace.bpf(), Path::new("/elsewhere/bpf"));
        assert_eq!(workspace.shown(Path::new("/clone/a/b")).to_string(), "a/b");
        assert_eq!(workspace.shown(Path::new("/elsewhere/b")).to_string(), "/elsewhere/b");
    }

    #[test]
    fn lines_that_are_no_messages_are_no_executables() {
        assert!(
            executables(&["plain text".into(), r#"{"reason":"build-finished","success":true}"#.into()])
                .is_empty()
        );
    }
}

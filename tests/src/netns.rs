//! A network namespace: made, entered, and given programs to run.
//!
//! In: a [`Run`] that owns it and a label. Out: closures and commands that see this network and no other. Never here:
//! moving a thread that lives on; each entering has a thread of its own, which ends with it.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    panic,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    child,
    run::{self, Run},
};

/// A named network namespace; it lives until [`Namespace::delete`] or the end of its [`Run`].
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with nothing in it but a loopback device that is down.
    ///
    /// # Errors
    /// When `ip netns add` fails.
    pub fn create(run: &Run, label: &str) -> Result<Self> {
        let name = run.name(label);
        child::run(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Self { name })
    }

    /// The name by which `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn handle(&self) -> PathBuf {
        Path::new(run::HANDLES).join(&self.name)
    }

    /// Kills what runs inside and deletes it, with its end of every veth pair.
    pub fn delete(self) {
        run::kill_inside(&self.handle());
        run::remove_namespace(&self.handle());
        // Only namespaces with a resolver of their own have such a folder.
        let _ = fs::remove_dir_all(Path::new(run::CONFIGURATION).join(&self.name));
    }

    /// Runs a closure inside, on a thread of its own.
    ///
    /// # Panics
    /// When the namespace is gone, and where the closure panics.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                let handle = File::open(self.handle())
                    .unwrap_or_else(|error| panic!("namespace {} cannot be opened: {error}", self.name));
                move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap_or_else(|error| panic!("namespace {} cannot be entered: {error}", self.name));
                inside()
            });
            entered.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        })
    }

    /// A command inside that shares the machine's mounts, bpffs among them. The process is the program itself.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.handle().display())).arg("--").arg(program);
        command
    }

    /// A command inside that also sees the namespace's own resolver file, as a container does.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Gives the namespace a resolver file of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_resolver(&self, text: &str) -> Result<()> {
        let folder = Path::new(run::CONFIGURATION).join(&self.name);
        let _open = run::open()?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("resolv.conf"), text))
            .with_context(|| format!("{}/resolv.conf cannot be written", folder.display()))
    }

    /// Sets kernel parameters inside, by their paths below /proc/sys.
    ///
    /// # Errors
    /// When one does not exist or refuses the value.
    pub fn set_parameters(&self, parameters: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (path, value) in parameters {
                fs::write(Path::new("/proc/sys").join(path), value)
                    .with_context(|| format!("/proc/sys/{path} does not take {value} in {}", self.name))?;
            }
            Ok(())
        })
    }

    /// Runs a batch of `ip` commands inside.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn ip(&self, batch: &str) -> Result<()> {
        child::feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), batch)
    }
}

//! A folder of manifests that is edited as a person or a controller would edit it.
//!
//! In: a folder, and an object by kind and name. Out: the same folder with that one object changed, added or gone; every
//! file is replaced whole by a rename, so nobody reads half of it.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_yaml_ng::Value;

/// Begins a document of a YAML file.
const SEPARATOR: &str = "---";

/// Copies a folder of manifests, so that the original stays as it is.
///
/// # Errors
/// When it cannot be read, or the copy not be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let (source, target) =
            (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::file_name));
        let (Ok(source), Ok(target)) = (source, target) else { continue };
        let target = to.join(target);
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("{} cannot be copied", source.display()))?;
        }
    }
    Ok(())
}

/// The object of that kind and name.
///
/// # Errors
/// When there is none, or a file is no YAML.
pub fn read(folder: &Path, kind: &str, name: &str) -> Result<Value> {
    Ok(find(folder, kind, name)?.object)
}

/// Changes one object in its file.
///
/// # Errors
/// When there is none, or its file cannot be replaced.
pub fn edit(folder: &Path, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut found = find(folder, kind, name)?;
    change(&mut found.object);
    found.documents[found.at] = serde_yaml_ng::to_string(&found.object)?;
    replace(&found.file, &found.documents.join(&format!("{SEPARATOR}\n")))
}

/// Adds an object in a file of its own.
///
/// # Errors
/// When it cannot be written.
pub fn add(folder: &Path, file: &str, object: &Value) -> Result<()> {
    write(folder, file, &serde_yaml_ng::to_string(object)?)
}

/// Writes a file of manifests as they are.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, file: &str, text: &str) -> Result<()> {
    replace(&folder.join(file), text)
}

/// Takes one object out of its file.
///
/// # Errors
/// When there is none, or its file cannot be replaced.
pub fn remove(folder: &Path, kind: &str, name: &str) -> Result<()> {
    let mut found = find(folder, kind, name)?;
    found.documents.remove(found.at);
    if found.documents.is_empty() {
        return fs::remove_file(&found.file)
            .with_context(|| format!("{} cannot be removed", found.file.display()));
    }
    replace(&found.file, &found.documents.join(&format!("{SEPARATOR}\n")))
}

/// Makes a Pod ready or not, as the kubelet would.
pub fn set_ready(pod: &mut Value, ready: bool) {
    let state = if ready { "True" } else { "False" };
    for condition in pod["status"]["conditions"].as_sequence_mut().into_iter().flatten() {
        if matches!(condition["type"].as_str(), Some("Ready" | "ContainersReady")) {
            condition["status"] = state.into();
        }
    }
}

/// The next replica of a StatefulSet: this Pod under another name and with other addresses.
pub fn replica(pod: &Value, name: &str, addresses: &[IpAddr]) -> Value {
    let mut replica = pod.clone();
    replica["metadata"]["name"] = name.into();
    replica["spec"]["hostname"] = name.into();
    let entry = |address: &IpAddr| {
        let mut entry = serde_yaml_ng::Mapping::new();
        entry.insert("ip".into(), address.to_string().into());
        Value::Mapping(entry)
    };
    replica["status"]["podIPs"] = addresses.iter().map(entry).collect::<Vec<_>>().into();
    replica["status"]["podIP"] = addresses.first().map_or(Value::Null, |address| address.to_string().into());
    if let Some(labels) = replica["metadata"]["labels"].as_mapping_mut()
        && labels.contains_key("statefulset.kubernetes.io/pod-name")
    {
        labels.insert("statefulset.kubernetes.io/pod-name".into(), name.into());
    }
    replica
}

/// An object with the file that it is in.
struct Found {
    file: PathBuf,
    documents: Vec<String>,
    at: usize,
    object: Value,
}

fn find(folder: &Path, kind: &str, name: &str) -> Result<Found> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let documents = documents(&text);
        for (at, document) in documents.iter().enumerate() {
            let object: Value = serde_yaml_ng::from_str(document)
                .with_context(|| format!("{}, document {}, is no YAML", file.display(), at + 1))?;
            if object["kind"] == kind && object["metadata"]["name"] == name {
                return Ok(Found { file, documents, at, object });
            }
        }
    }
    anyhow::bail!("there is no {kind} {name} in {}", folder.display())
}

fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.starts_with(SEPARATOR) {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents.retain(|document| document.lines().any(|line| !line.is_empty() && !line.starts_with('#')));
    documents
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_unstable();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(entry);
        }
    }
    Ok(())
}

fn replace(file: &Path, text: &str) -> Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ensure!(!name.is_empty(), "{} is no file name", file.display());
    let fresh = file.with_file_name(format!(".{name}.fresh"));
    fs::create_dir_all(file.parent().unwrap_or(file))
        .and_then(|()| fs::write(&fresh, text))
        .and_then(|()| fs::rename(&fresh, file))
        .with_context(|| format!("{} cannot be replaced", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# two pods\napiVersion: v1\nkind: Pod\nmetadata:\n  name: mysql-0\nspec:\n  hostname: mysql-0\n\
        status:\n  podIP: 10.0.0.1\n  conditions:\n  - type: Ready\n    status: \"True\"\n---\n\
        apiVersion: v1\nkind: Pod\nmetadata:\n  name: mysql-1\nspec:\n  hostname: mysql-1\n";

    #[test]
    fn an_edit_changes_one_object_and_no_other() {
        let folder = folder();
        edit(folder.path(), "Pod", "mysql-0", |pod| set_ready(pod, false)).unwrap();
        let pod = read(folder.path(), "Pod", "mysql-0").unwrap();
        assert_eq!(pod["status"]["conditions"][0]["status"], "False");
        assert_eq!(read(folder.path(), "Pod", "mysql-1").unwrap()["spec"]["hostname"], "mysql-1");
    }

    #[test]
    fn a_removed_object_leaves_the_others_in_its_file() {
        let folder = folder();
        remove(folder.path(), "Pod", "mysql-0").unwrap();
        assert!(read(folder.path(), "Pod", "mysql-0").is_err());
        assert!(read(folder.path(), "Pod", "mysql-1").is_ok());
        remove(folder.path(), "Pod", "mysql-1").unwrap();
        assert!(!folder.path().join("pods.yaml").exists());
    }

    #[test]
    fn a_replica_has_its_own_name_and_addresses() {
        let folder = folder();
        let addresses = ["10.0.0.9", "fd00::9"].map(|address| address.parse().unwrap());
        let pod = read(folder.path(), "Pod", "mysql-0").unwrap();
        add(folder.path(), "mysql-3.yaml", &replica(&pod, "mysql-3", &addresses)).unwrap();
        let added = read(folder.path(), "Pod", "mysql-3").unwrap();
        assert_eq!(added["spec"]["hostname"], "mysql-3");
        assert_eq!(added["status"]["podIP"], "10.0.0.9");
        assert_eq!(added["status"]["podIPs"][1]["ip"], "fd00::9");
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pods.yaml"), TWO).unwrap();
        folder
    }
}

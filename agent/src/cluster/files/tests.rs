//! The source against a real folder. Each test waits on the channel, with a bound; only one waits for
//! nothing to come.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::zone::Id;

/// No update takes this long; a test that waits for one that never comes ends here.
const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn first_full_list_comes_before_synced() {
    let mut source = Running::on(|folder| {
        fs::create_dir_all(folder.join("a/b")).expect("a folder");
        put(&folder.join("a/b/web.yml"), &service("web"));
        put(
            &folder.join("db.json"),
            r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}}"#,
        );
        put(&folder.join("notes.txt"), "no manifest");
        put(&folder.join(".hidden.yaml"), &service("hidden"));
        put(&folder.join("web.yaml~"), &service("backup"));
        fs::create_dir(folder.join(".git")).expect("a folder");
        put(&folder.join(".git/x.yaml"), &service("hidden"));
    });
    assert_eq!(source.batch().await, ["+db", "+web"]);
    assert_eq!(source.update().await, Update::Synced);
}

#[tokio::test]
async fn empty_folder_is_synced_at_once() {
    let mut source = Running::on(|_| ());
    assert_eq!(source.update().await, Update::Synced);
}

#[tokio::test]
async fn new_changed_and_deleted_files_are_followed() {
    let mut source = Running::synced(|_| ()).await;
    let file = source.path("web.yaml");
    put(&file, &service("web"));
    assert_eq!(source.batch().await, ["+web"]);
    put(&file, &service("db"));
    assert_eq!(source.batch().await, ["+db", "-web"]);
    fs::remove_file(&file).expect("removed");
    assert_eq!(source.batch().await, ["-db"]);
}

#[tokio::test]
async fn file_put_in_place_by_a_rename_is_read() {
    let mut source = Running::synced(|folder| put(&folder.join("web.yaml"), &service("web"))).await;
    put(&source.path(".web.yaml.new"), &service("db"));
    fs::rename(source.path(".web.yaml.new"), source.path("web.yaml")).expect("renamed");
    assert_eq!(source.batch().await, ["+db", "-web"]);
}

#[tokio::test]
async fn file_that_is_renamed_keeps_its_objects() {
    let mut source = Running::synced(|folder| put(&folder.join("a.yaml"), &service("web"))).await;
    fs::rename(source.path("a.yaml"), source.path("b.yaml")).expect("renamed");
    put(&source.path("c.yaml"), &service("db"));
    assert_eq!(source.until("+db").await, ["+db"], "nothing happened to web");
}

#[tokio::test]
async fn broken_file_keeps_its_last_good_objects_until_it_is_mended() {
    let mut source = Running::synced(|folder| {
        put(&folder.join("a.yaml"), &service("web"));
        put(&folder.join("b.yaml"), "kind: [");
    })
    .await;
    put(&source.path("a.yaml"), &format!("{}---\nkind: Service\n", service("new")));
    put(&source.path("b.yaml"), &service("mended"));
    assert_eq!(source.until("+mended").await, ["+mended"], "the broken edit changed nothing");
    put(&source.path("a.yaml"), &service("new"));
    assert_eq!(source.batch().await, ["+new", "-web"]);
}

#[tokio::test]
async fn file_that_is_emptied_loses_its_objects() {
    let mut source = Running::synced(|folder| put(&folder.join("a.yaml"), &service("web"))).await;
    put(&source.path("a.yaml"), "");
    assert_eq!(source.batch().await, ["-web"]);
    put(&source.path("a.yaml"), &service("web"));
    assert_eq!(source.batch().await, ["+web"]);
}

#[tokio::test]
async fn burst_of_edits_ends_in_the_last_state_and_never_flaps() {
    let text = |round: usize| format!("{}---\n{}", service("web"), service(&format!("round-{round}")));
    let mut source = Running::synced(|folder| put(&folder.join("a.yaml"), &text(0))).await;
    for round in 1..=1000 {
        put(&source.path("a.yaml"), &text(round));
    }
    let seen = source.until("+round-1000").await;
    assert!(
        !seen.iter().any(|event| event.ends_with("web")),
        "an object that no edit touched came and went: {seen:?}"
    );
}

#[tokio::test]
async fn new_and_moved_folders_are_followed() {
    let mut source = Running::synced(|_| ()).await;
    fs::create_dir_all(source.path("a/b")).expect("a folder");
    put(&source.path("a/b/web.yaml"), &service("web"));
    assert_eq!(source.until("+web").await, ["+web"]);
    fs::rename(source.path("a"), source.path("moved")).expect("renamed");
    put(&source.path("moved/b/db.yaml"), &service("db"));
    assert_eq!(source.until("+db").await.last().map(String::as_str), Some("+db"));
    fs::remove_dir_all(source.path("moved")).expect("removed");
    assert_eq!(source.count(2).await, ["-db", "-web"]);
}

#[tokio::test]
async fn folder_that_goes_and_comes_back_is_followed() {
    let mut source = Running::synced(|folder| put(&folder.join("a.yaml"), &service("web"))).await;
    fs::remove_dir_all(source.path("")).expect("removed");
    assert_eq!(source.batch().await, ["-web"]);
    fs::create_dir(source.path("")).expect("a folder");
    put(&source.path("a.yaml"), &service("db"));
    assert_eq!(source.until("+db").await, ["+db"]);
    put(&source.path("b.yaml"), &service("web"));
    assert_eq!(source.until("+web").await, ["+web"]);
}

/// File systems give the number of a folder that is gone to the next one: only the signs tell the two apart.
#[tokio::test]
async fn folders_that_are_replaced_at_once_are_followed() {
    let mut source = Running::synced(|folder| fs::create_dir(folder.join("sub")).expect("a folder")).await;
    for round in 0..10 {
        for folder in ["sub", ""] {
            fs::remove_dir_all(source.path(folder)).expect("removed");
            fs::create_dir_all(source.path("sub")).expect("a folder");
            for (file, name) in [("sub/a.yaml", "first"), ("sub/b.yaml", "second"), ("b.yaml", "third")] {
                let name = format!("{name}-{round}-{}", folder.len());
                put(&source.path(file), &service(&name));
                let _ = source.until(&format!("+{name}")).await;
            }
        }
    }
}

#[tokio::test]
async fn folder_behind_a_link_that_is_turned_is_followed() {
    let outer = tempfile::tempdir().expect("a folder");
    for release in ["one", "two"] {
        fs::create_dir(outer.path().join(release)).expect("a folder");
        put(&outer.path().join(release).join("a.yaml"), &service(release));
    }
    let current = outer.path().join("current");
    symlink("one", &current).expect("a link");
    let mut source = Running::start(outer, current.clone());
    assert_eq!(source.batch().await, ["+one"]);
    symlink("two", current.with_extension("new")).expect("a link");
    fs::rename(current.with_extension("new"), &current).expect("renamed");
    assert_eq!(source.until("+two").await.len(), 2);
}

/// As the kubelet mounts and updates a ConfigMap.
#[tokio::test]
async fn mounted_config_map_is_followed() {
    let mut source = Running::synced(|folder| {
        fs::create_dir(folder.join("..2026_01")).expect("a folder");
        put(&folder.join("..2026_01/web.yaml"), &service("web"));
        symlink("..2026_01", folder.join("..data")).expect("a link");
        symlink("..data/web.yaml", folder.join("web.yaml")).expect("a link");
    })
    .await;
    fs::create_dir(source.path("..2026_02")).expect("a folder");
    put(&source.path("..2026_02/web.yaml"), &service("db"));
    symlink("..2026_02", source.path("..data_tmp")).expect("a link");
    fs::rename(source.path("..data_tmp"), source.path("..data")).expect("renamed");
    fs::remove_dir_all(source.path("..2026_01")).expect("removed");
    assert_eq!(source.batch().await, ["+db", "-web"]);
}

#[tokio::test]
async fn object_that_two_files_hold_outlives_the_first() {
    let mut source = Running::synced(|folder| {
        put(&folder.join("a.yaml"), &service("web"));
        put(&folder.join("b.yaml"), &format!("{}spec: {{clusterIP: None}}\n", service("web")));
    })
    .await;
    fs::remove_file(source.path("a.yaml")).expect("removed");
    let Update::Events(events) = source.update().await else { panic!("no events") };
    assert!(matches!(&*events, [Event::Apply(Object::Service(service))] if service.headless));
}

#[tokio::test]
async fn folder_named_from_here_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = std::env::current_dir().expect("a folder");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let named = up.join(folder.path().strip_prefix("/").expect("an absolute path"));
    put(&folder.path().join("a.yaml"), &service("web"));
    let mut source = Running::start(folder, named);
    assert_eq!(source.until("+web").await, ["+web"]);
    fs::remove_file(source.path("a.yaml")).expect("removed");
    assert_eq!(source.until("-web").await, ["-web"]);
}

#[tokio::test]
async fn source_ends_when_nobody_listens() {
    let Running { updates, running, folder, .. } = Running::synced(|_| ()).await;
    drop(updates);
    put(&folder.path().join("a.yaml"), &service("web"));
    let ended = timeout(LONG, running).await.expect("it ends").expect("no panic");
    assert!(ended.is_ok());
}

#[tokio::test]
async fn channel_closes_when_the_source_is_dropped() {
    let mut source = Running::synced(|_| ()).await;
    source.running.abort();
    let end = timeout(LONG, source.updates.recv()).await.expect("the thread lets go of the channel");
    assert_eq!(end, None);
}

#[test]
fn missing_folder_and_plain_file_are_refused_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder.path().join("a.yaml"), &service("web"));
    for (name, message) in
        [("missing", "no folder "), ("a.yaml", " is not a folder: name the folder that holds it")]
    {
        let path = folder.path().join(name);
        for error in [load(&path).expect_err("refused"), Files::open(path).expect_err("refused")] {
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}

#[tokio::test]
async fn folder_that_goes_before_the_start_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Files::open(folder.path().into()).expect("a folder");
    folder.close().expect("removed");
    let (updates, _received) = mpsc::channel(1);
    let error = Box::new(source).run(updates).await.expect_err("refused").to_string();
    assert!(error.contains("no folder "), "{error}");
}

/// The first half alone would be a manifest as good as the whole.
#[tokio::test]
async fn file_that_is_still_being_written_is_not_read_half() {
    let mut source = Running::synced(|_| ()).await;
    let mut file = fs::File::create(source.path("a.yaml")).expect("a file");
    file.write_all(service("web").as_bytes()).expect("written");
    let half = timeout(Duration::from_millis(300), source.updates.recv()).await;
    assert!(half.is_err(), "read half: {half:?}");
    file.write_all(format!("---\n{}", service("db")).as_bytes()).expect("written");
    drop(file);
    assert_eq!(source.batch().await, ["+db", "+web"]);
}

#[tokio::test]
async fn link_to_a_file_is_read_without_waiting_for_a_close() {
    let mut source = Running::synced(|folder| put(&folder.join(".one"), &service("web"))).await;
    for make in [symlink::<PathBuf, PathBuf>, fs::hard_link::<PathBuf, PathBuf>] {
        make(source.path(".one"), source.path("a.yaml")).expect("a link");
        let read =
            timeout(Duration::from_secs(2), source.batch()).await.expect("read well before an open file");
        assert_eq!(read, ["+web"]);
        fs::remove_file(source.path("a.yaml")).expect("removed");
        assert_eq!(source.batch().await, ["-web"]);
    }
}

#[tokio::test]
async fn unknown_kind_does_not_spoil_its_file() {
    let text = format!("apiVersion: v1\nkind: Sevice\nmetadata: {{name: lost}}\n---\n{}", service("web"));
    let mut source = Running::on(|folder| put(&folder.join("a.yaml"), &text));
    assert_eq!(source.batch().await, ["+web"]);
    let (objects, problems) = load(&source.root).expect("a folder");
    assert_eq!((objects.len(), problems.len()), (1, 1));
    assert!(problems[0].reason.starts_with("unknown kind `Sevice` of `v1`"), "{}", problems[0]);
}

#[test]
fn one_bad_file_takes_no_other_along() {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder.path().join("a.yaml"), &service("web"));
    put(&folder.path().join("b.yaml"), &format!("{}---\nkind: Service\n", service("lost")));
    fs::write(folder.path().join("c.yaml"), b"\xff\xfe").expect("written");
    let big = fs::File::create(folder.path().join("d.yaml")).expect("a file");
    big.set_len((64 << 20) + 1).expect("a hole");
    let (objects, problems) = load(folder.path()).expect("a folder");
    assert_eq!(objects.iter().map(|object| object.id().name).collect::<Vec<_>>(), ["web".into()]);
    let reasons: Vec<&str> = problems.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "apiVersion is missing; a manifest starts with apiVersion and kind",
            "is not UTF-8 text: byte 0 is none of it; save the file as UTF-8",
            "is larger than 64 MiB; split it into several files",
        ]
    );
    assert_eq!((problems[0].document, problems[0].line), (2, 5));
}

#[test]
fn folder_that_links_to_itself_is_read_once() {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder.path().join("a.yaml"), &service("web"));
    symlink(".", folder.path().join("again")).expect("a link");
    let (objects, problems) = load(folder.path()).expect("a folder");
    assert_eq!((objects.len(), problems), (1, Vec::new()));
}

/// A source that runs on a folder of its own.
struct Running {
    folder: TempDir,
    root: PathBuf,
    updates: mpsc::Receiver<Update>,
    running: JoinHandle<Result<(), SourceError>>,
}

impl Running {
    /// Runs on a new folder, prepared first.
    fn on(prepare: impl FnOnce(&Path)) -> Self {
        let outer = tempfile::tempdir().expect("a folder");
        let root = outer.path().join("manifests");
        fs::create_dir(&root).expect("a folder");
        prepare(&root);
        Self::start(outer, root)
    }

    fn start(folder: TempDir, root: PathBuf) -> Self {
        let (sender, updates) = mpsc::channel(16);
        let running = tokio::spawn(Box::new(Files::open(root.clone()).expect("a folder")).run(sender));
        let root = if root.is_absolute() { root } else { folder.path().into() };
        Self { folder, root, updates, running }
    }

    /// Runs on a new folder, prepared first, up to Synced.
    async fn synced(prepare: impl FnOnce(&Path)) -> Self {
        let mut source = Self::on(prepare);
        while source.update().await != Update::Synced {}
        source
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    async fn update(&mut self) -> Update {
        timeout(LONG, self.updates.recv()).await.expect("an update").expect("a source that runs")
    }

    /// The next batch: `+name` for an object applied, `-name` for one deleted, sorted.
    async fn batch(&mut self) -> Vec<String> {
        let mut events = self.events().await;
        events.sort();
        events
    }

    async fn events(&mut self) -> Vec<String> {
        match self.update().await {
            Update::Synced => Vec::new(),
            Update::Events(events) => events.iter().map(spell).collect(),
        }
    }

    /// All events up to this one, in order.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while !seen.iter().any(|event| event == last) {
            seen.extend(self.events().await);
        }
        seen
    }

    /// This many events, sorted.
    async fn count(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.extend(self.events().await);
        }
        seen.sort();
        seen
    }
}

fn spell(event: &Event) -> String {
    match event {
        Event::Apply(object) => format!("+{}", object.id().name),
        Event::Delete(Id { name, .. }) => format!("-{name}"),
    }
}

fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n")
}

fn put(file: &Path, text: &str) {
    fs::write(file, text).expect("written");
}

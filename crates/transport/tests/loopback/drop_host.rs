//! Real servers that a drop can lie at, on loopback: nginx with dav-ext and Apache with mod_dav (WebDAV), and Dovecot (IMAP).

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The password that the server asks for; it must stand nowhere.
pub(crate) const PASSWORD: &str = "canary-pass";
const USER: &str = "canary-user";
/// SHA-1 of the password, as both servers read it.
const USERS: &str = "canary-user:{SHA}TYfEC9Hd+pbGyn2Q6+/o3TYgQcY=\n";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Apache,
    Dovecot,
}

impl Kind {
    const fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache2",
            Self::Dovecot => "dovecot",
        }
    }
}

/// A server that is killed when it is dropped, and its folder.
pub(crate) struct Host {
    kind: Kind,
    address: SocketAddr,
    process: Option<Child>,
    folder: tempfile::TempDir,
    /// Further settings.
    more: &'static str,
}

impl Host {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::with(kind, "")
    }

    /// One with further settings.
    pub(crate) fn with(kind: Kind, more: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let users = match kind {
            Kind::Nginx | Kind::Apache => USERS.to_owned(),
            Kind::Dovecot => format!("{USER}:{{PLAIN}}{PASSWORD}\n"),
        };
        std::fs::write(folder.path().join("users"), users).unwrap();
        // A server started by root may work as somebody else.
        for open in [folder.path().to_owned(), folder.path().join("root")] {
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut host = Self {
            kind,
            address,
            process: None,
            folder,
            more,
        };
        host.restart();
        host
    }

    /// Ends it (kill -9) and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let at = self.folder.path().display().to_string();
        let file = self.folder.path().join("conf");
        let (settings, words) = match self.kind {
            Kind::Nginx => (nginx(&at, self.address), vec!["-p", at.as_str(), "-c"]),
            Kind::Apache => (apache(&at, self.address), vec!["-X", "-f"]),
            Kind::Dovecot => (dovecot(&at, self.address), vec!["-F", "-c"]),
        };
        std::fs::write(&file, settings + self.more).unwrap();
        let program = self.kind.program();
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It may start others, which are to end with it.
            .process_group(0);
        self.process = Some(command.spawn().unwrap_or_else(|_| panic!("{program} is not installed")));
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "{program} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells it and all that it has started; after STOP it takes no step any more until it is ended.
    pub(crate) fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            let group = format!("-{}", process.id());
            let _ = Command::new("kill").args([signal, "--", &group]).status();
        }
    }

    pub(crate) fn stop(&mut self) {
        self.signal("-KILL");
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
    }

    /// The drop's address at this server.
    pub(crate) fn url(&self) -> String {
        format!("{}://{USER}:{PASSWORD}@{}/drop", self.scheme(), self.address)
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        match self.kind {
            Kind::Nginx | Kind::Apache => "dav",
            Kind::Dovecot => "imap",
        }
    }

    /// Where the drop's files lie.
    pub(crate) fn root(&self) -> PathBuf {
        let folder = match self.kind {
            Kind::Nginx | Kind::Apache => "root/drop",
            Kind::Dovecot => "root/.drop",
        };
        self.folder.path().join(folder)
    }

    /// All of the drop's files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self.kind {
            Kind::Nginx | Kind::Apache => files_below(&self.root()),
            Kind::Dovecot => ["cur", "new"].map(|part| files_below(&self.root().join(part))).concat(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if entry.file_name() == ".DAV" => {}
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

fn nginx(at: &str, address: SocketAddr) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\n\
         daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/errors;\n\
         events {{}}\nhttp {{ access_log {at}/access; client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
         fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; client_max_body_size 1m;\n\
         server {{ listen {address}; root {at}/root; location / {{\n\
         auth_basic drop; auth_basic_user_file {at}/users;\n\
         dav_methods PUT DELETE MKCOL; dav_ext_methods PROPFIND OPTIONS; dav_access user:rw group:rw; }} }} }}"
    )
}

fn apache(at: &str, address: SocketAddr) -> String {
    let module = |name: &str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules = [
        "mpm_event",
        "authz_core",
        "authz_user",
        "authn_core",
        "authn_file",
        "auth_basic",
        "dav",
        "dav_fs",
    ];
    let modules: String = modules.map(module).concat();
    format!(
        "ServerRoot {at}\nPidFile {at}/pid\nServerName localhost\nListen {address}\n{modules}\
         User www-data\nGroup www-data\nErrorLog {at}/errors\nDocumentRoot {at}/root\nDavLockDB {at}/lock\n\
         StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\n\
         <Directory {at}/root>\nDav On\nAuthType Basic\nAuthName drop\nAuthUserFile {at}/users\n\
         Require valid-user\n</Directory>\n"
    )
}

/// Its own processes as whoever runs the tests; where that is root, which it refuses to read mail as, as nobody.
fn dovecot(at: &str, address: SocketAddr) -> String {
    let me = std::fs::metadata(at).unwrap();
    let (uid, gid, users) = if me.uid() == 0 {
        (65_534, 65_534, String::new())
    } else {
        let name = |flag: &str| {
            let said = Command::new("id").args(["-n", flag]).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().to_owned()
        };
        let (user, group) = (name("-u"), name("-g"));
        let users = format!(
            "default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
        );
        (me.uid(), me.gid(), users)
    };
    format!(
        "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/errors\nprotocols = imap\nlisten = {}\nssl = no\n\
         disable_plaintext_auth = no\nauth_verbose = yes\nauth_failure_delay = 0\nfirst_valid_uid = 1\n{users}\
         passdb {{\n driver = passwd-file\n args = {at}/users\n}}\n\
         userdb {{\n driver = static\n args = uid={uid} gid={gid} home={at}/root\n}}\n\
         mail_location = maildir:{at}/root\n\
         service imap-login {{\n chroot =\n inet_listener imap {{\n port = {}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n",
        address.ip(),
        address.port()
    )
}

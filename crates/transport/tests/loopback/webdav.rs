//! Real web servers that speak WebDAV, on loopback: nginx with dav-ext, and Apache with mod_dav.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
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
}

/// A server that is killed when it is dropped, and its folder.
pub(crate) struct Dav {
    kind: Kind,
    address: SocketAddr,
    process: Option<Child>,
    folder: tempfile::TempDir,
}

impl Dav {
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        std::fs::write(folder.path().join("users"), USERS).unwrap();
        // A server started by root may work as somebody else.
        for open in [folder.path().to_owned(), folder.path().join("root")] {
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut dav = Self {
            kind,
            address,
            process: None,
            folder,
        };
        dav.restart();
        dav
    }

    /// Ends it (kill -9) and starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let at = self.folder.path().display().to_string();
        let file = self.folder.path().join("conf");
        let (program, settings, words) = match self.kind {
            Kind::Nginx => ("nginx", nginx(&at, self.address), vec!["-p", at.as_str(), "-c"]),
            Kind::Apache => ("apache2", apache(&at, self.address), vec!["-X", "-f"]),
        };
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap_or_else(|_| panic!("{program} is not installed")));
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "{program} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
    }

    /// The drop's address at this server.
    pub(crate) fn url(&self) -> String {
        format!("dav://{USER}:{PASSWORD}@{}/drop", self.address)
    }

    /// Where the drop's files lie.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root/drop")
    }

    /// All of the drop's files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files_below(&self.root())
    }
}

impl Drop for Dav {
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

//! A Pebble: the directory that Let's Encrypt has for tests, with names of its own, on loopback. Each ends when dropped.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A directory, that runs or not.
pub(crate) struct Pebble {
    folder: tempfile::TempDir,
    at: SocketAddr,
    /// Where it tells of its own root.
    #[allow(dead_code, reason = "of two test programs one asks there")]
    pub(crate) management: SocketAddr,
    dns: SocketAddr,
    environment: Vec<(&'static str, &'static str)>,
    running: Vec<Child>,
}

impl Pebble {
    /// One that looks at `port` for proofs, and gives certificates for so long. It is not started.
    pub(crate) fn looking_at(port: u16, validity_s: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (at, management, dns) = (free(), free(), free());
        write_certificate(&folder);
        let place = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!(
            r#"{{"pebble":{{"listenAddress":"{at}","managementListenAddress":"{management}","certificate":"{}",
            "privateKey":"{}","httpPort":{},"tlsPort":{port},"ocspResponderURL":"","externalAccountBindingRequired":false,
            "domainBlocklist":["blocked.test"],"certificateValidityPeriod":{validity_s}}}}}"#,
            place("cert.pem"),
            place("key.pem"),
            free().port(),
        );
        fs::write(folder.path().join("settings.json"), settings).unwrap();
        Self {
            folder,
            at,
            management,
            dns,
            environment: vec![("PEBBLE_VA_NOSLEEP", "1")],
            running: Vec::new(),
        }
    }

    /// With this instead of looking at once.
    pub(crate) fn with(mut self, environment: &[(&'static str, &'static str)]) -> Self {
        self.environment = environment.to_vec();
        self
    }

    /// Starts it, with nothing of what it knew before. All names lead to 127.0.0.1 there.
    pub(crate) fn started(mut self) -> Self {
        self.start();
        self
    }

    pub(crate) fn start(&mut self) {
        let log = File::create(self.folder.path().join("log")).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args([
            "-dns01",
            &self.dns.to_string(),
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
        ]);
        names.args(["-tlsalpn01", "", "-management", "127.0.0.1:0"]);
        let mut directory = Command::new("pebble");
        directory.arg("-config").arg(self.folder.path().join("settings.json"));
        directory.args(["-strict", "-dnsserver", &self.dns.to_string()]);
        directory.envs(self.environment.iter().copied());
        directory.stderr(log.try_clone().unwrap()).stdout(log);
        names.stdout(Stdio::null()).stderr(Stdio::null());
        for mut command in [names, directory] {
            self.running.push(command.spawn().expect("pebble is installed"));
        }
        while TcpStream::connect(self.at).is_err() || TcpStream::connect(self.dns).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/dir", self.at)
    }

    /// The authority of its own certificate.
    pub(crate) fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }

    /// How often it was asked for a new certificate.
    pub(crate) fn orders(&self) -> usize {
        self.asked("Added order \"")
    }

    /// How often its log says so.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.matches(what).count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn write_certificate(folder: &tempfile::TempDir) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let (issuer, key) = (Issuer::new(params, authority_key), KeyPair::generate().unwrap());
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("roots.pem", authority.pem()),
        ("cert.pem", own.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
}

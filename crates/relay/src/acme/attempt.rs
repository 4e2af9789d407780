//! One attempt to get a certificate: account, order, proof, certificate. Each step is safe to be the last one.
//!
//! In: for whom, and what is kept of earlier attempts. Out: a certificate that fits its key, or why there is none. What
//! a directory says is believed only where nothing follows from it but another failed attempt.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Key, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::client::Client;
use super::failure::{Failed, Failure};
use super::kept::{self, Certificate, Kept};
use super::plan::{Leaf, Window};
use super::{Acme, Subject, now_s};
use crate::listen::{Proof, Shown};

/// How often the directory is asked whether it is done.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// Most tries of one attempt.
const TRIES_MAX: u32 = 3;
/// Most names that an order may ask to be proven: ours has one.
const PROOFS_MAX: usize = 1;
/// Problem kinds that want another step, and not another hour.
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const REPLACED_ALREADY: &str = "urn:ietf:params:acme:error:alreadyReplaced";

/// What an attempt needs.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    acme: &'a Acme,
    subject: &'a Subject,
    kept: &'a Kept,
    client: &'a Client,
    shown: &'a Shown,
}

impl<'a> Attempt<'a> {
    pub(crate) const fn new(
        acme: &'a Acme,
        subject: &'a Subject,
        kept: &'a Kept,
        client: &'a Client,
        shown: &'a Shown,
    ) -> Self {
        Self {
            acme,
            subject,
            kept,
            client,
            shown,
        }
    }

    /// Gets a certificate, going on with an order that an earlier attempt began. `replaces`: the one it is to replace,
    /// where the directory wants to know.
    pub(crate) async fn run(&self, replaces: Option<&Leaf>) -> Result<Certificate, Failed> {
        let mut tries = 1;
        loop {
            let had_order = self.kept_order().is_some();
            let mut failed = match self.get(replaces).await {
                Ok(certificate) => return Ok(certificate),
                Err(failed) => failed,
            };
            failed.patience = self.client.patience();
            if failed.ends_the_order() {
                self.kept.forget_order();
            }
            // An earlier attempt's order may have gone wrong while nobody was here to answer.
            let is_worth_another = failed.why == Failure::Nonce || (had_order && failed.ends_the_order());
            if !is_worth_another || failed.patience.is_some() || tries >= TRIES_MAX {
                return Err(failed);
            }
            tries += 1;
        }
    }

    /// When the directory wants this certificate renewed, if it says.
    pub(crate) async fn window(&self, leaf: &Leaf) -> Option<Window> {
        let account = self.known_account().await?.ok()?;
        let (info, again_in) = account.renewal_info(&leaf.identifier()?).await.ok()?;
        Some(Window::new(&info, again_in.as_secs(), now_s()))
    }

    async fn get(&self, replaces: Option<&Leaf>) -> Result<Certificate, Failed> {
        let account = self.account().await.map_err(|error| Failed::of(&error))?;
        let (mut order, key) = self.order(&account, replaces).await?;
        let order = &mut order;
        if order.state().status == OrderStatus::Pending {
            self.prove(order).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let request = self.request(&key)?;
            order.finalize_csr(&request).await.map_err(|error| Failed::of(&error))?;
        }
        let chain = match order.state().status {
            OrderStatus::Valid => order.certificate().await.map(Option::unwrap_or_default),
            OrderStatus::Processing => order.poll_certificate(&POLLING).await,
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Invalid => return Err(Failure::Refused.into()),
        };
        let chain = chain.map_err(|error| Failed::of(&error))?;
        let directory = self.acme.directory.clone();
        Ok(Certificate { directory, chain, key })
    }

    /// The account that is kept, without a word to the directory but for its URLs.
    async fn known_account(&self) -> Option<Result<Account, Error>> {
        let account = self
            .kept
            .account()
            .filter(|account| account.directory == self.acme.directory)?;
        let key = self.account_key().ok()?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let key = PrivatePkcs8KeyDer::from(key.as_slice());
        let found = builder
            .from_parts(account.id.clone(), key, account.directory.clone())
            .await;
        Some(match found {
            Ok(found) if account.contact != self.acme.contact => self.tell_contact(&found).await.map(|()| found),
            other => other,
        })
    }

    /// The account, made where there is none. One whose key the directory knows is found again by it.
    async fn account(&self) -> Result<Account, Error> {
        if let Some(known) = self.known_account().await {
            return known;
        }
        let der = self.account_key()?;
        let key = Key::from_pkcs8_der(PrivatePkcs8KeyDer::from(der.as_slice()))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.to_vec()));
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let (account, _) = builder.create_from_key((key, der), self.acme.directory.clone()).await?;
        self.tell_contact(&account).await?;
        Ok(account)
    }

    /// Lets the directory know where to write to, and keeps the account.
    async fn tell_contact(&self, account: &Account) -> Result<(), Error> {
        let mail = self.acme.contact.as_ref().map(|mail| format!("mailto:{mail}"));
        let contacts: Vec<&str> = mail.iter().map(String::as_str).collect();
        let had_one = self.kept.account().is_some_and(|account| account.contact.is_some());
        if !contacts.is_empty() || had_one {
            account.update_contacts(&contacts).await?;
        }
        let (directory, contact) = (self.acme.directory.clone(), self.acme.contact.clone());
        let id = account.id().to_owned();
        let kept = self.kept.keep_account(&kept::Account { directory, id, contact });
        kept.map_err(|_| Error::Other(Box::new(Failure::Disk)))
    }

    fn account_key(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let make = || {
            let (_, key) = Key::generate_pkcs8().map_err(|_| Failure::Disk)?;
            Ok::<_, Failure>(key.secret_pkcs8_der().to_vec())
        };
        self.kept.key(make).map_err(|why| Error::Other(Box::new(why)))
    }

    /// The order that an earlier attempt began, or a new one; and the key of its certificate.
    async fn order(&self, account: &Account, replaces: Option<&Leaf>) -> Result<(Order, Zeroizing<String>), Failed> {
        if let Some(kept) = self.kept_order() {
            if let Some(order) = resumed(account, kept.url).await? {
                return Ok((order, kept.key));
            }
            self.kept.forget_order();
        }
        let order = match self.new_order(account, replaces).await {
            Ok(order) => order,
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_SUCH_ACCOUNT) => {
                self.kept.forget_account();
                let account = self.account().await.map_err(|error| Failed::of(&error))?;
                let order = self.new_order(&account, None).await;
                order.map_err(|error| Failed::of(&error))?
            }
            Err(error) => return Err(Failed::of(&error)),
        };
        let key = KeyPair::generate().map_err(|_| Failure::Disk)?;
        let key = Zeroizing::new(key.serialize_pem());
        let kept = kept::Order {
            directory: self.acme.directory.clone(),
            subject: self.subject.text(),
            url: order.url().to_owned(),
            key: key.clone(),
        };
        self.kept.keep_order(&kept).map_err(|_| Failure::Disk)?;
        Ok((order, key))
    }

    fn kept_order(&self) -> Option<kept::Order> {
        let is_ours =
            |order: &kept::Order| order.directory == self.acme.directory && order.subject == self.subject.text();
        self.kept.order().filter(is_ours)
    }

    async fn new_order(&self, account: &Account, replaces: Option<&Leaf>) -> Result<Order, Error> {
        let identifiers = [self.subject.identifier()];
        let profile = self.subject.profile(account.profiles().map(|profile| profile.name));
        let plain = |identifiers| {
            let order = NewOrder::new(identifiers);
            profile.map_or_else(|| NewOrder::new(identifiers), |profile| order.profile(profile))
        };
        let Some(replaced) = replaces.and_then(Leaf::identifier) else {
            return account.new_order(&plain(&identifiers)).await;
        };
        match account.new_order(&plain(&identifiers).replaces(replaced)).await {
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(REPLACED_ALREADY) => {
                account.new_order(&plain(&identifiers)).await
            }
            other => other,
        }
    }

    /// Proves that this relay is whom the certificate is to be for: shows a proof to whoever asks for it in TLS, until the
    /// directory has looked.
    async fn prove(&self, order: &mut Order) -> Result<(), Failed> {
        let proof = self.begin_proof(order).await?;
        let polled = order.poll_ready(&POLLING).await;
        drop(proof);
        match polled {
            Ok(OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing) => Ok(()),
            Ok(OrderStatus::Pending | OrderStatus::Invalid) | Err(Error::Api(_)) => Err(why_invalid(order).await),
            Err(error) => Err(Failed::of(&error)),
        }
    }

    /// Out: what is to be held until the directory has looked; nothing where it has earlier.
    async fn begin_proof(&self, order: &mut Order) -> Result<Option<Proof<'a>>, Failed> {
        let mut authorizations = order.authorizations();
        let mut proof = None;
        for _ in 0..PROOFS_MAX {
            let Some(found) = authorizations.next().await else {
                break;
            };
            let mut authorization = found.map_err(|error| Failed::of(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            if authorization.identifier().identifier != &self.subject.identifier() {
                return Err(Failure::Nonsense.into());
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or(Failure::NoWay)?;
            let shown = self.proof(challenge.key_authorization().digest().as_ref())?;
            let shown = self.shown.prove(&self.subject.said(), &shown.0, &shown.1);
            proof = Some(shown.map_err(|_| Failure::Nonsense)?);
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|error| Failed::of(&error))?;
            }
        }
        Ok(proof)
    }

    /// The certificate that only whoever asks for a proof sees (RFC 8737), and its key, as PEM.
    fn proof(&self, digest: &[u8]) -> Result<(String, String), Failure> {
        let digest: &[u8; 32] = digest.try_into().map_err(|_| Failure::Nonsense)?;
        let mut params = CertificateParams::new([self.subject.text()]).map_err(|_| Failure::Nonsense)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate().map_err(|_| Failure::Disk)?;
        let made = params.self_signed(&key).map_err(|_| Failure::Nonsense)?;
        Ok((made.pem(), key.serialize_pem()))
    }

    /// What the directory is to sign.
    fn request(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let key = KeyPair::from_pem(key).map_err(|_| Failure::Nonsense)?;
        let mut params = CertificateParams::new([self.subject.text()]).map_err(|_| Failure::Nonsense)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(|_| Failure::Nonsense)?;
        Ok(request.der().to_vec())
    }
}

/// An order that an earlier attempt began; nothing where it has expired, or the directory knows nothing of it.
async fn resumed(account: &Account, url: String) -> Result<Option<Order>, Failed> {
    match account.order(url).await {
        Ok(mut order) => Ok((order.state().status != OrderStatus::Invalid).then_some(order)),
        Err(Error::Api(_) | Error::Json(_)) => Ok(None),
        Err(error) => Err(Failed::of(&error)),
    }
}

/// What the directory says of a proof that it did not take.
async fn why_invalid(order: &mut Order) -> Failed {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        let problem = authorization
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Failed::proof(problem);
        }
    }
    Failure::Refused.into()
}

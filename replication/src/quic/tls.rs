//! Who may talk to whom: one authority per cluster, one certificate per site, both sides show theirs.
//!
//! The certificate's name is `SITE.gemini` ([`server_name`]). The dialling side asks for the name it dials; the
//! accepting side looks which configured peer the certificate is good for. So a site can neither pose as another nor
//! join a foreign cluster, and an address may be anything (a relay's, say): it proves nothing and is not asked.
//!
//! A restarted site answers packets of a forgotten connection with a stateless reset, keyed from its private key, so
//! its peers notice at once instead of after the idle timeout.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionError, ConnectionId, ConnectionIdGenerator, IdleTimeout, TransportConfig, VarInt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, client};

use super::{Error, Limits};

/// Distinguishes our protocol from any other on the same port.
const ALPN: &[u8] = b"gemini-site/1";

/// The name in a site's certificate.
pub fn server_name(site: &str) -> String {
    format!("{site}.gemini")
}

/// What a site proves itself with, and whom it believes.
#[derive(Debug)]
pub struct Identity {
    /// The cluster's authority.
    pub authorities: Vec<CertificateDer<'static>>,
    /// This site's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            authorities: self.authorities.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Identity {
    /// Reads PEM files.
    pub fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Identity, Error> {
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("private key", key, &e))?;
        Ok(Identity {
            authorities: certificates("cluster authority", authority)?,
            chain: certificates("site certificate", certificate)?,
            key,
        })
    }

    /// Whether the certificate carries a site's name: with another's, no peer would talk to this site.
    pub fn names(&self, site: &str) -> bool {
        let certificate = self.chain.first().and_then(|first| ParsedCertificate::try_from(first).ok());
        let wanted = ServerName::try_from(server_name(site)).ok();
        certificate
            .zip(wanted)
            .is_some_and(|(found, wanted)| client::verify_server_name(&found, &wanted).is_ok())
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|e| unreadable(what, path, &e))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(Error::Identity {
            what,
            path: path.to_owned(),
            cause: "the file holds no certificate".into(),
        }),
        Ok(found) => Ok(found),
        Err(e) => Err(unreadable(what, path, &e)),
    }
}

fn unreadable(what: &'static str, path: &Path, cause: &rustls::pki_types::pem::Error) -> Error {
    let path: PathBuf = path.to_owned();
    Error::Identity { what, path, cause: cause.to_string() }
}

/// The three configurations of an endpoint.
pub(super) struct Configs {
    pub endpoint: quinn::EndpointConfig,
    pub server: quinn::ServerConfig,
    pub client: quinn::ClientConfig,
}

pub(super) fn configs(identity: &Identity, limits: &Limits) -> Result<Configs, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in &identity.authorities {
        roots
            .add(authority.clone())
            .map_err(|e| Error::Tls(format!("the cluster authority is not usable: {e}")))?;
    }
    let roots = Arc::new(roots);
    let transport = Arc::new(transport(limits)?);

    let mut client = quinn::ClientConfig::new(Arc::new(client_crypto(identity, &provider, &roots)?));
    client.transport_config(transport.clone());
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(server_crypto(identity, &provider, &roots)?));
    server.transport_config(transport).max_incoming(64);

    let digest = ring::digest::digest(&ring::digest::SHA256, identity.key.secret_der());
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, digest.as_ref());
    let mut endpoint = quinn::EndpointConfig::new(Arc::new(reset_key));
    // Random ids, not hashed ones: those of an earlier run must be answered with a reset, not dropped as foreign.
    endpoint.cid_generator(|| Box::new(RandomIds(SystemRandom::new())));
    Ok(Configs { endpoint, server, client })
}

struct RandomIds(SystemRandom);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; 8];
        self.0
            .fill(&mut bytes)
            .expect("the operating system's random source answers once it has answered at start");
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn client_crypto(
    identity: &Identity,
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
) -> Result<QuicClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|e| {
            Error::Tls(format!("this site's certificate and private key do not fit together: {e}"))
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each link is a full handshake: a certificate taken away must not live on in a session ticket.
    config.resumption = client::Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|e| Error::Tls(e.to_string()))
}

fn server_crypto(
    identity: &Identity,
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
) -> Result<QuicServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|e| Error::Tls(format!("the cluster authority is not usable: {e}")))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|e| {
            Error::Tls(format!("this site's certificate and private key do not fit together: {e}"))
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|e| Error::Tls(e.to_string()))
}

fn transport(limits: &Limits) -> Result<TransportConfig, Error> {
    let mut config = TransportConfig::default();
    let idle =
        IdleTimeout::try_from(limits.dead_after).map_err(|_| Error::Tls("dead_after is too long".into()))?;
    let window = VarInt::from_u32(u32::try_from(limits.window).unwrap_or(u32::MAX));
    let mut congestion = CubicConfig::default();
    // A commit after a quiet second must not start slowly: sites are few and their links are provisioned.
    congestion.initial_window(256 * 1024);
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits.heartbeat))
        .initial_rtt(Duration::from_millis(150))
        .stream_receive_window(window)
        .receive_window(VarInt::from_u32(u32::try_from(limits.window.saturating_mul(2)).unwrap_or(u32::MAX)))
        .send_window(limits.window as u64)
        .max_concurrent_uni_streams(1u32.into())
        .max_concurrent_bidi_streams(limits.requests.into())
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(congestion));
    Ok(config)
}

/// Which of `names` the peer's certificate is good for.
pub(super) fn identify<'a>(
    connection: &quinn::Connection,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = ParsedCertificate::try_from(chain.first()?).ok()?;
    for name in names {
        let wanted = ServerName::try_from(server_name(name)).ok()?;
        if client::verify_server_name(&certificate, &wanted).is_ok() {
            return Some(name);
        }
    }
    None
}

/// A connection's end in words: which side objected, to what, and what to do about it. `peer` is how the other side
/// is called here; `us` is this site's name.
pub(super) fn explain(error: &ConnectionError, us: &str, peer: &str) -> String {
    const TLS: u64 = 0x100;
    let remedy = "give every site files of one `gemini init` (ca.crt, SITE.crt, SITE.key) and the name that its certificate carries";
    match error {
        ConnectionError::TransportError(e) if u64::from(e.code) & !0xff == TLS => {
            let what = match (u64::from(e.code) & 0xff, e.reason.as_str()) {
                (_, reason) if reason.contains("UnknownIssuer") || reason.contains("BadSignature") => {
                    format!("it is not signed by the cluster authority of {us}")
                }
                (_, reason)
                    if reason.contains("NotValidForName") || reason.contains("not valid for name") =>
                {
                    format!("it does not name {}", server_name(peer))
                }
                (_, reason) if reason.contains("Expired") || reason.contains("expired") => {
                    "it has expired".into()
                }
                (116, _) => "it showed none".into(),
                (_, reason) => reason.to_owned(),
            };
            format!("{us} refuses the certificate of {peer}: {what}; {remedy}")
        }
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) & !0xff == TLS => {
            let what = match u64::from(close.error_code) & 0xff {
                48 | 42 | 46 => {
                    format!("it is not signed by the cluster authority of {peer}, or carries another name")
                }
                45 => "it has expired".into(),
                116 => "none was shown".into(),
                120 => "it expects another protocol on this port".into(),
                alert => format!("TLS alert {alert}"),
            };
            format!("{peer} refuses the certificate of {us}: {what}; {remedy}")
        }
        ConnectionError::ApplicationClosed(close) => {
            format!("{peer} closed the link: {}", String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::TimedOut => format!("{peer} does not answer"),
        ConnectionError::Reset => format!("{peer} has restarted"),
        ConnectionError::LocallyClosed => format!("{us} closed the link"),
        other => format!("the link to {peer} broke: {other}"),
    }
}

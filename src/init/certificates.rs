//! The cluster's authority and its sites' certificates. ECDSA P-256 keys; certificates outlive the hardware they are
//! made on, since a cluster whose certificates expire on a Sunday is no safer than one whose keys are well kept.

use gemini_replication::quic::{ClusterId, server_name};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::InitError;

/// (file name, PEM, secret) of every file.
pub(super) fn make<'a>(
    cluster: &str,
    id: &ClusterId,
    sites: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, String, bool)>, InitError> {
    let ca_key = KeyPair::generate()?;
    let params = authority(cluster, id)?;
    let ca = params.self_signed(&ca_key)?;
    let mut files =
        vec![("ca.crt".to_owned(), ca.pem(), false), ("ca.key".to_owned(), ca_key.serialize_pem(), true)];
    let issuer = Issuer::new(params, ca_key);
    for site in sites {
        files.extend(issue(&issuer, site)?);
    }
    Ok(files)
}

/// The files of one site more, signed by an authority that is there: its key, as [`make`] has written it.
pub(super) fn one(
    cluster: &str,
    id: &ClusterId,
    authority_key: &str,
    site: &str,
) -> Result<[(String, String, bool); 2], InitError> {
    let key = KeyPair::from_pem(authority_key)?;
    issue(&Issuer::new(authority(cluster, id)?, key), site)
}

fn authority(cluster: &str, id: &ClusterId) -> Result<CertificateParams, InitError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    validity(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, "Gemini cluster");
    params.distinguished_name.push(DnType::CommonName, format!("{cluster} {id}"));
    Ok(params)
}

fn issue(issuer: &Issuer<'_, KeyPair>, site: &str) -> Result<[(String, String, bool); 2], InitError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![server_name(site)])?;
    validity(&mut params);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::OrganizationName, "Gemini site");
    params.distinguished_name.push(DnType::CommonName, server_name(site));
    let certificate = params.signed_by(&key, issuer)?;
    Ok([
        (format!("{site}.crt"), certificate.pem(), false),
        (format!("{site}.key"), key.serialize_pem(), true),
    ])
}

fn validity(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
}

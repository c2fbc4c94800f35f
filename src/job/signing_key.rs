//! The private key that an assertion is signed with (RFC 7515, RFC 7518).
//!
//! Owns the reading of PEM files, and which algorithm a key can do. `ring`
//! does the cryptography, as for TLS. Must never show a key, nor any part of
//! the text it was read from.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::sync::Arc;

/// A signature algorithm of RFC 7518 section 3.1 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// What kind of key an algorithm takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::Rsa => "an RSA key",
            Family::P256 => "a P-256 key",
            Family::P384 => "a P-384 key",
            Family::Ed25519 => "an Ed25519 key",
        }
    }
}

impl Algorithm {
    /// Every one, by its `alg` name.
    pub(super) const ALL: [(&'static str, Algorithm); 9] = [
        ("RS256", Algorithm::Rs256),
        ("RS384", Algorithm::Rs384),
        ("RS512", Algorithm::Rs512),
        ("PS256", Algorithm::Ps256),
        ("PS384", Algorithm::Ps384),
        ("PS512", Algorithm::Ps512),
        ("ES256", Algorithm::Es256),
        ("ES384", Algorithm::Es384),
        ("EdDSA", Algorithm::EdDsa),
    ];

    /// Its `alg` name.
    pub fn name(self) -> &'static str {
        let mut all = Algorithm::ALL.iter();
        all.find(|(_, algorithm)| *algorithm == self)
            .map_or("none", |(name, _)| name)
    }

    fn family(self) -> Family {
        match self {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Family::Rsa,
            Algorithm::Es256 => Family::P256,
            Algorithm::Es384 => Family::P384,
            Algorithm::EdDsa => Family::Ed25519,
        }
    }

    fn rsa_encoding(self) -> Option<&'static dyn RsaEncoding> {
        Some(match self {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_SHA512,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Ps384 => &RSA_PSS_SHA384,
            Algorithm::Ps512 => &RSA_PSS_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
        })
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is no key to sign with. Says nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("is not a private key in PEM form (`-----BEGIN PRIVATE KEY-----`)")]
    NotPem,
    #[error("is an encrypted private key")]
    Encrypted,
    #[error("is a certificate or a public key, and a private key signs")]
    Public,
    #[error("is an EC key in SEC 1 form (`BEGIN EC PRIVATE KEY`)")]
    Sec1,
    #[error("is a private key that cannot be used: {0}")]
    Rejected(String),
    #[error("is {key}, and {algorithm} takes {wanted}")]
    Misfit {
        key: &'static str,
        algorithm: &'static str,
        wanted: &'static str,
    },
}

impl KeyError {
    pub(super) fn help(&self) -> &'static str {
        match self {
            KeyError::NotPem | KeyError::Public => {
                "take the key from its file: `key = \"${file:service.pem}\"`"
            }
            KeyError::Encrypted => {
                "`openssl pkcs8 -in key.pem -out plain.pem` decrypts it; keep the result mode 0600"
            }
            KeyError::Sec1 => {
                "`openssl pkcs8 -topk8 -nodes -in key.pem -out pkcs8.pem` puts it in PKCS#8 form"
            }
            KeyError::Rejected(_) => {
                "RSA from 2048 bits, P-256, P-384 and Ed25519 keys in PKCS#8 form can be used"
            }
            KeyError::Misfit { .. } => "leave `algorithm` out: the key says which one it can do",
        }
    }
}

/// The system gave no randomness, or the key none of its signatures.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the assertion could not be signed")]
pub struct SigningError;

/// A private key, with the algorithm it signs by.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key_id: Option<String>,
    pair: Arc<Pair>,
}

impl SigningKey {
    /// Reads a PEM text: PKCS#8, or PKCS#1 for RSA. Without an algorithm, the
    /// key's usual one: RS256, ES256, ES384 or EdDSA.
    pub(crate) fn from_pem(
        pem: &str,
        algorithm: Option<Algorithm>,
        key_id: Option<String>,
    ) -> Result<SigningKey, KeyError> {
        // A key that came through an environment variable has its line ends written out, often.
        let pem = pem.replace("\\n", "\n");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED")
            {
                KeyError::Encrypted
            } else if pem.contains("BEGIN CERTIFICATE") || pem.contains("PUBLIC KEY-----") {
                KeyError::Public
            } else {
                KeyError::NotPem
            }
        })?;
        let (family, pair) = read_pair(&der)?;
        let algorithm = algorithm.unwrap_or(match family {
            Family::Rsa => Algorithm::Rs256,
            Family::P256 => Algorithm::Es256,
            Family::P384 => Algorithm::Es384,
            Family::Ed25519 => Algorithm::EdDsa,
        });
        if algorithm.family() != family {
            return Err(KeyError::Misfit {
                key: family.name(),
                algorithm: algorithm.name(),
                wanted: algorithm.family().name(),
            });
        }
        Ok(SigningKey {
            algorithm,
            key_id,
            pair: Arc::new(pair),
        })
    }

    /// A fresh key that nobody trusts: for `--sandbox`, where the job's own may be missing.
    pub(super) fn stand_in(key_id: Option<String>) -> Option<SigningKey> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).ok()?;
        Some(SigningKey {
            algorithm: Algorithm::Es256,
            key_id,
            pair: Arc::new(Pair::Ec(pair)),
        })
    }

    /// The algorithm it signs by.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `key_id`: the JWT header's `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The signature, in the form of RFC 7518 section 3.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let encoding = self.algorithm.rsa_encoding().ok_or(SigningError)?;
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .map_err(|_| SigningError)?;
                Ok(signature)
            }
            Pair::Ec(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| SigningError)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn read_pair(der: &PrivateKeyDer<'_>) -> Result<(Family, Pair), KeyError> {
    let bytes = match der {
        PrivateKeyDer::Pkcs1(key) => {
            return match RsaKeyPair::from_der(key.secret_pkcs1_der()) {
                Ok(pair) => Ok((Family::Rsa, Pair::Rsa(pair))),
                Err(error) => Err(KeyError::Rejected(error.to_string())),
            };
        }
        PrivateKeyDer::Sec1(_) => return Err(KeyError::Sec1),
        PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der(),
        _ => return Err(KeyError::NotPem),
    };
    let random = SystemRandom::new();
    let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
        EcdsaKeyPair::from_pkcs8(algorithm, bytes, &random).map(Pair::Ec)
    };
    // Each refuses a key of another kind by its object identifier.
    let rsa = match RsaKeyPair::from_pkcs8(bytes) {
        Ok(pair) => return Ok((Family::Rsa, Pair::Rsa(pair))),
        Err(error) => error,
    };
    if let Ok(pair) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        return Ok((Family::P256, pair));
    }
    if let Ok(pair) = curve(&ECDSA_P384_SHA384_FIXED_SIGNING) {
        return Ok((Family::P384, pair));
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Ok((Family::Ed25519, Pair::Ed25519(pair)));
    }
    Err(KeyError::Rejected(rsa.to_string()))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

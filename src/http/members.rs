//! `POST /members/…`: what `gemini site` asks of a running site. The answer comes when it has happened, or will not.
//!
//! ```text
//!   POST /members/add/ID/CLASS/NAME/PEER     this site orders a JOIN
//!   POST /members/leave                      this site leaves in good order
//!   POST /members/expel/ID                   this site orders another one's removal
//!   Gemini-Operator: yes                     a page of the web cannot say this, so none can remove a site behind its reader's back
//! ```

use std::io;
use std::net::SocketAddr;

use gemini_shadow_ops::{Member, SiteId};

use super::Answer;
use crate::site::MemberRequest;

/// The header that every request must carry.
const HEADER: &str = "Gemini-Operator: yes";

/// Whether a request is one of these.
pub(super) fn asked(head: &[u8]) -> bool {
    head.starts_with(b"POST /members/")
}

/// What it asks for.
pub(super) fn read(head: &[u8]) -> Result<MemberRequest, Answer> {
    let bad = |why: &str| Answer::text(400, format!("{why}\n"));
    let text = std::str::from_utf8(head).map_err(|_| bad("the request is not text"))?;
    if !text.lines().any(|line| line.trim_end() == HEADER) {
        return Err(Answer::text(405, "only `gemini site` asks for this\n"));
    }
    let path = text.split(' ').nth(1).unwrap_or_default();
    let words: Vec<&str> = path.split('/').skip(2).collect();
    let id = |word: &str| word.parse().map(SiteId).map_err(|_| bad("a site's id is a number"));
    match words.as_slice() {
        ["add", site, class, name, peer] => {
            let class = class.parse().map_err(|_| bad("a minting class is a number"))?;
            let _: SocketAddr = peer.parse().map_err(|_| bad("the peer address is IP:PORT"))?;
            if let Some(problem) = crate::config::site_name_problem(name) {
                return Err(bad(&problem));
            }
            let member = Member { name: (*name).to_owned(), peer: (*peer).to_owned(), class };
            Ok(MemberRequest::Add { site: id(site)?, member })
        }
        ["leave"] => Ok(MemberRequest::Leave),
        ["expel", site] => Ok(MemberRequest::Expel(id(site)?)),
        _ => Err(bad("there are add, leave and expel")),
    }
}

/// Asks a running site; the code and the answer.
pub async fn ask(address: SocketAddr, request: &MemberRequest) -> io::Result<(u16, String)> {
    let path = match request {
        MemberRequest::Add { site, member } => {
            format!("/members/add/{site}/{}/{}/{}", member.class, member.name, member.peer)
        }
        MemberRequest::Leave => "/members/leave".to_owned(),
        MemberRequest::Expel(site) => format!("/members/expel/{site}"),
    };
    super::exchange(address, &format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{HEADER}\r\n")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_strangers_refused() {
        let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\n{HEADER}\r\n\r\n").into_bytes();
        let member = Member { name: "tokyo".into(), peer: "127.0.0.1:7444".into(), class: 3 };
        let add = MemberRequest::Add { site: SiteId(4), member };
        assert_eq!(read(&head("/members/add/4/3/tokyo/127.0.0.1:7444")).ok(), Some(add));
        assert_eq!(read(&head("/members/leave")).ok(), Some(MemberRequest::Leave));
        assert_eq!(read(&head("/members/expel/3")).ok(), Some(MemberRequest::Expel(SiteId(3))));
        for bad in
            ["/members/", "/members/expel/x", "/members/add/4/3/To/127.0.0.1:1", "/members/add/4/3/t/x"]
        {
            assert_eq!(read(&head(bad)).err().map(|answer| answer.code), Some(400), "{bad}");
        }
        let page = b"POST /members/expel/3 HTTP/1.1\r\nHost: x\r\nOrigin: http://rebound.example\r\n\r\n";
        assert_eq!(read(page).err().map(|answer| answer.code), Some(405));
    }
}

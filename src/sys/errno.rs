//! The names of error numbers, as errno(3) has them.

use rustix::io::Errno;

macro_rules! names {
    ($($name:ident,)+) => {
        const NAMES: &[(Errno, &str)] = &[$((Errno::$name, concat!("E", stringify!($name)))),+];
    };
}

// If a number has two names (`EAGAIN` and `EWOULDBLOCK`), the one that errno(3) explains.
names! {
    ACCESS, ADDRINUSE, ADDRNOTAVAIL, ADV, AFNOSUPPORT, AGAIN, ALREADY, BADE, BADF, BADFD, BADMSG, BADR,
    BADRQC, BADSLT, BFONT, BUSY, CHILD, CHRNG, COMM, CONNABORTED, CONNREFUSED, CONNRESET, DEADLK, DESTADDRREQ,
    DOM, DOTDOT, DQUOT, EXIST, FAULT, FBIG, HOSTDOWN, HOSTUNREACH, HWPOISON, IDRM, ILSEQ, INPROGRESS, INTR,
    INVAL, IO, ISCONN, ISDIR, ISNAM, KEYEXPIRED, KEYREJECTED, KEYREVOKED, L2HLT, L2NSYNC, L3HLT, L3RST,
    LIBACC, LIBBAD, LIBEXEC, LIBMAX, LIBSCN, LNRNG, LOOP, MEDIUMTYPE, MFILE, MLINK, MSGSIZE, MULTIHOP,
    NAMETOOLONG, NAVAIL, NETDOWN, NETRESET, NETUNREACH, NFILE, NOANO, NOBUFS, NOCSI, NODATA, NODEV, NOENT,
    NOEXEC, NOKEY, NOLCK, NOLINK, NOMEDIUM, NOMEM, NOMSG, NONET, NOPKG, NOPROTOOPT, NOSPC, NOSR, NOSTR, NOSYS,
    NOTBLK, NOTCONN, NOTDIR, NOTEMPTY, NOTNAM, NOTRECOVERABLE, NOTSOCK, NOTTY, NOTUNIQ, NXIO, OPNOTSUPP,
    OVERFLOW, OWNERDEAD, PERM, PFNOSUPPORT, PIPE, PROTO, PROTONOSUPPORT, PROTOTYPE, RANGE, REMCHG, REMOTE,
    REMOTEIO, RESTART, RFKILL, ROFS, SHUTDOWN, SOCKTNOSUPPORT, SPIPE, SRCH, SRMNT, STALE, STRPIPE, TIME,
    TIMEDOUT, TOOBIG, TOOMANYREFS, TXTBSY, UCLEAN, UNATCH, USERS, XDEV, XFULL,
}

/// The name of an error number, such as `ENOSPC`; the number itself for one that has none.
#[must_use]
pub fn errno_name(errno: Errno) -> String {
    if errno == Errno::TOOBIG {
        return "E2BIG".into();
    }
    let known = NAMES.iter().find(|(known, _)| *known == errno);
    known.map_or_else(|| errno.raw_os_error().to_string(), |(_, name)| (*name).to_string())
}

/// The error number with this name, as [`errno_name`] gives it.
#[must_use]
pub fn errno_from_name(name: &str) -> Option<Errno> {
    let known = NAMES.iter().map(|(errno, _)| *errno).find(|errno| errno_name(*errno) == name);
    known.or_else(|| name.parse().ok().filter(|number| (1..4096).contains(number)).map(Errno::from_raw_os_error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_number_has_a_name_that_leads_back_to_it() {
        for number in 1..=200 {
            let errno = Errno::from_raw_os_error(number);
            assert_eq!(errno_from_name(&errno_name(errno)), Some(errno), "{number}");
        }
        assert_eq!(errno_name(Errno::NOSPC), "ENOSPC");
        assert_eq!(errno_name(Errno::AGAIN), "EAGAIN");
        assert_eq!(errno_name(Errno::TOOBIG), "E2BIG");
        assert_eq!(errno_from_name("ENOTHING"), None);
    }
}

//! PostgreSQL's own objects that clients look up by number: functions named by types and casts to regproc.

/// pg_proc rows: (oid, name, arguments, result type's oid). The input, output, receive and send functions that drivers look
/// for by way of pg_type, and functions that psql asks for by name.
pub(super) static FUNCTIONS: &[(u32, &str)] = &[
    (31, "byteaout"),
    (33, "charout"),
    (34, "namein"),
    (35, "nameout"),
    (38, "int2in"),
    (39, "int2out"),
    (42, "int4in"),
    (43, "int4out"),
    (46, "textin"),
    (47, "textout"),
    (200, "float4in"),
    (201, "float4out"),
    (214, "float8in"),
    (215, "float8out"),
    (460, "int8in"),
    (461, "int8out"),
    (750, "array_in"),
    (751, "array_out"),
    (1044, "bpcharin"),
    (1046, "varcharin"),
    (1084, "date_in"),
    (1150, "timestamptz_in"),
    (1151, "timestamptz_out"),
    (1160, "interval_in"),
    (1242, "boolin"),
    (1243, "boolout"),
    (1244, "byteain"),
    (1312, "timestamp_in"),
    (1701, "numeric_in"),
    (1798, "oidin"),
    (2400, "array_recv"),
    (2404, "int2recv"),
    (2406, "int4recv"),
    (2408, "int8recv"),
    (2412, "bytearecv"),
    (2414, "textrecv"),
    (2952, "uuid_in"),
    (2961, "uuid_recv"),
];

/// The oid behind a regproc's text.
pub(super) fn function_oid(name: &str) -> Option<u32> {
    FUNCTIONS.iter().find(|(_, n)| *n == name).map(|(oid, _)| *oid)
}

/// A regproc's text.
pub(super) fn function_name(oid: u32) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(o, _)| *o == oid).map(|(_, name)| *name)
}

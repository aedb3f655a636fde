/* What an original is spared, by this end and by that (`erps.md`, sections 5 and 9.2). */

/** ms between two packets to a server: it takes two that come together for none. */
export const GAP_TO_SERVERS = 20
/** ms between two packets to a client: it takes one in 100 ms, and over TCP what comes between is lost. */
export const GAPS_TO_CLIENTS = { tcp: 120, tls: 10 } as const
/** ms between two keepalives to a server. */
export const KEEPALIVE = 60_000
/** Bytes that stand around a request or an answer in its payload: the tuple, and a ref of ours. */
export const AROUND_VALUE = 16

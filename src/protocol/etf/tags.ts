/** The tags of `erps.md`, A.1. */
export const VERSION = 131
export const COMPRESSED = 80
export const SMALL_INTEGER = 97
export const INTEGER = 98
export const SMALL_BIG = 110
export const LARGE_BIG = 111
export const FLOAT = 70
export const OLD_FLOAT = 99
export const SMALL_ATOM = 119
export const ATOM = 118
export const LATIN1_ATOM = 100
export const SMALL_LATIN1_ATOM = 115
export const SMALL_TUPLE = 104
export const LARGE_TUPLE = 105
export const NIL = 106
export const STRING = 107
export const LIST = 108
export const BINARY = 109
export const BIT_BINARY = 77
export const MAP = 116
export const PID = 88
export const OLD_PID = 103
export const REFERENCE = 90
export const NEW_REFERENCE = 114
export const OLD_REFERENCE = 101
export const PORT = 89
export const PORT_V4 = 120
export const OLD_PORT = 102
export const EXTERNAL_FUNCTION = 113
export const LOCAL_FUNCTION = 112

/** Characters of an atom's name. */
export const LONGEST_ATOM = 255
export const MOST_REFERENCE_WORDS = 5
/** Containers within one another, where the caller states nothing. */
export const DEFAULT_DEPTH = 1_000

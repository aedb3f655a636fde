/** Where a registry is kept. */
export type Database =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'rqlite'; readonly nodes: readonly string[] }

/** What a database in an option begins with. */
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i

/**
 * Reads where the registry is: `postgres://…`, `rqlite://host:port,host:port` (`rqlites://` with TLS), or a path.
 * @returns a sentence when it cannot be used; without the text, which may hold a password
 */
export function readDatabase(text: string): Database | string {
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase()
  // A path, or one slash too few.
  if (scheme === undefined && /^(?:postgres|postgresql|rqlite|rqlites):/i.test(text)) return 'must have two slashes: postgres://… or rqlite://…'
  switch (scheme) {
    case undefined: return { kind: 'sqlite', file: text }
    case 'postgres':
    case 'postgresql': return URL.canParse(text) ? { kind: 'postgres', url: text } : 'must be postgres://user:password@host:port/name; signs such as @ and / in a password are written %40 and %2F'
    case 'rqlite':
    case 'rqlites': return readNodes(text, scheme === 'rqlite' ? 'http' : 'https')
    case 'file': return 'must be a path, without file://'
    default: return `begins with ${scheme}://, which is none of postgres://, rqlite:// and rqlites://; anything else is a path`
  }
}

/** `rqlite://user:password@a:4001,b:4001`: whoever is stated for the first node is stated for all. */
function readNodes(text: string, protocol: 'http' | 'https'): Database | string {
  const rest = text.replace(SCHEME, '').replace(/\/+$/, '')
  const at = rest.lastIndexOf('@')
  const user = rest.slice(0, at + 1)
  const nodes = rest.slice(at + 1).split(',').map((host) => `${protocol}://${user}${host}`)
  const isNode = (node: string): boolean => URL.canParse(node) && new URL(node).pathname === '/' && new URL(node).search === '' && new URL(node).hostname !== ''
  if (!nodes.every(isNode)) return 'must be rqlite://host:port, or several as rqlite://user:password@host:port,host:port'
  return { kind: 'rqlite', nodes: nodes.map((node) => (new URL(node).port === '' && !/:\d+$/.test(node) ? `${node}:4001` : node)) }
}

/** The option as it may be shown: a password is left out. */
export function withoutPassword(text: string): string {
  return SCHEME.test(text) ? text.replace(/^([^/]*:\/\/[^:@/?#]*):.*@/, '$1:***@').replace(/([?&](?:password|sslpassword)=)[^&]*/gi, '$1***') : text
}

/** A node as it is asked, and as it may be named. */
export interface Node {
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
}

const CONTENT = { 'content-type': 'application/json' }

/** @throws {RangeError} when there is none, or one is no http or https url; its text is not in the error, it may hold a password */
export function nodesOf(urls: readonly string[]): readonly [Node, ...Node[]] {
  const [first, ...rest] = urls.map((text, i) => {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol)) throw new RangeError(`node ${i + 1} of rqlite is no http or https url`)
    return { origin: url.origin, headers: { ...CONTENT, ...authorization(url) } }
  })
  if (first === undefined) throw new RangeError('no node of rqlite is named')
  return [first, ...rest]
}

/** Where a node sends us on to: a password is brought to nobody but those who are named. `undefined` when that is no place. */
export function redirected(nodes: readonly Node[], from: Node, location: unknown): Node | undefined {
  const url = URL.parse(String(location), from.origin)
  if (url === null || url.protocol !== new URL(from.origin).protocol) return undefined
  return nodes.find(({ origin }) => origin === url.origin) ?? { origin: url.origin, headers: CONTENT }
}

function authorization({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  const plain = `${decode(username)}:${decode(password)}`
  return { authorization: `Basic ${Buffer.from(plain).toString('base64')}` }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A sign % that stands for itself.
    return text
  }
}

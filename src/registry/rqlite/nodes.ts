/** A node as it is asked, and as it may be named. */
export interface Node {
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
}

/** @throws {RangeError} when there is none, or one is no http or https url; its text is not in the error, it may hold a password */
export function nodesOf(urls: readonly string[]): readonly [Node, ...Node[]] {
  const [first, ...rest] = urls.map((text, i) => {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol)) throw new RangeError(`node ${i + 1} of rqlite is no http or https url`)
    return { origin: url.origin, headers: { 'content-type': 'application/json', ...authorization(url) } }
  })
  if (first === undefined) throw new RangeError('no node of rqlite is named')
  return [first, ...rest]
}

/** Where a node sends us on to; `undefined` when that is no place to bring a password to. */
export function redirected(node: Node, location: unknown): Node | undefined {
  const url = URL.parse(String(location), node.origin)
  return url === null || url.protocol !== new URL(node.origin).protocol ? undefined : { origin: url.origin, headers: node.headers }
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

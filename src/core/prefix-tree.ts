/** A compressed trie from text to values: finds all values whose key is a prefix of a text, in the length of the text. */
export interface PrefixTree<V> {
  readonly size: number
  add(key: string, value: V): void
  /** Takes one value away again; nothing happens when it is not there. */
  remove(key: string, value: V): void
  /** How many values are under this very key. */
  count(key: string): number
  /** Calls `visit` for every value whose key the text begins with. */
  walk(text: string, visit: (value: V) => void): void
  /** The same for the text from `start` on, with all values of a key together. */
  walkSets(text: string, start: number, visit: (values: ReadonlySet<V>) => void): void
}

interface Node<V> {
  edge: string
  values: Set<V> | undefined
  /** By the first UTF-16 unit of the child's edge. */
  children: Map<number, Node<V>> | undefined
}

export function createPrefixTree<V>(): PrefixTree<V> {
  const root: Node<V> = { edge: '', values: undefined, children: undefined }
  let size = 0

  function add(key: string, value: V): void {
    let node = root
    let at = 0
    while (at < key.length) {
      const next = node.children?.get(key.charCodeAt(at))
      if (next === undefined) {
        const leaf: Node<V> = { edge: key.slice(at), values: undefined, children: undefined }
        ;(node.children ??= new Map()).set(key.charCodeAt(at), leaf)
        node = leaf
        break
      }
      const shared = sharedLength(next.edge, key, at)
      if (shared < next.edge.length) split(next, shared)
      node = next
      at += shared
    }
    const values = (node.values ??= new Set())
    if (!values.has(value)) size++
    values.add(value)
  }

  /** The nodes from the root to the one with this key; `undefined` when there is none. */
  function wayTo(key: string): Node<V>[] | undefined {
    const way: Node<V>[] = [root]
    let at = 0
    while (at < key.length) {
      const next = way.at(-1)?.children?.get(key.charCodeAt(at))
      if (next === undefined || !key.startsWith(next.edge, at)) return undefined
      way.push(next)
      at += next.edge.length
    }
    return way
  }

  function remove(key: string, value: V): void {
    const way = wayTo(key)
    const last = way?.at(-1)
    if (way === undefined || last?.values?.delete(value) !== true) return
    size--
    if (last.values.size === 0) last.values = undefined
    // Nodes that hold nothing are taken out, so that patterns that come and go leave the tree as it was.
    for (let i = way.length - 1; i > 0; i--) tidy(way[i] as Node<V>, way[i - 1] as Node<V>)
    // A parent that lost its last-but-one child may itself have become a mere pass-through.
    if (way.length > 1) for (let i = way.length - 1; i > 0; i--) mergeDown(way[i] as Node<V>)
  }

  function walkSets(text: string, start: number, visit: (values: ReadonlySet<V>) => void): void {
    let node: Node<V> | undefined = root
    let at = start
    while (node !== undefined) {
      if (node.values !== undefined) visit(node.values)
      if (at >= text.length) return
      const next: Node<V> | undefined = node.children?.get(text.charCodeAt(at))
      if (next === undefined || !text.startsWith(next.edge, at)) return
      at += next.edge.length
      node = next
    }
  }

  return {
    get size() { return size },
    count: (key) => wayTo(key)?.at(-1)?.values?.size ?? 0,
    add,
    remove,
    walk(text, visit) {
      walkSets(text, 0, (values) => {
        for (const value of values) visit(value)
      })
    },
    walkSets,
  }
}

function sharedLength(edge: string, key: string, at: number): number {
  let i = 0
  while (i < edge.length && at + i < key.length && edge.charCodeAt(i) === key.charCodeAt(at + i)) i++
  return i
}

function split<V>(node: Node<V>, at: number): void {
  const rest: Node<V> = { edge: node.edge.slice(at), values: node.values, children: node.children }
  node.edge = node.edge.slice(0, at)
  node.values = undefined
  node.children = new Map([[rest.edge.charCodeAt(0), rest]])
}

function tidy<V>(node: Node<V>, parent: Node<V>): void {
  if (node.values === undefined && node.children === undefined) {
    parent.children?.delete(node.edge.charCodeAt(0))
    if (parent.children?.size === 0) parent.children = undefined
  }
}

function mergeDown<V>(node: Node<V>): void {
  if (node.values !== undefined || node.children?.size !== 1) return
  const [only] = node.children.values()
  if (only === undefined) return
  node.edge += only.edge
  node.values = only.values
  node.children = only.children
}

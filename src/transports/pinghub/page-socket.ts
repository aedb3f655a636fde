/**
 * The part of the page's script that keeps the connection: plain browser JavaScript. It opens a WebSocket to the page's
 * own address with `format=json`, comes back with `since=` the last cursor, and waits longer each time it fails.
 */
export const SOCKET = String.raw`
const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 30000
// A connection that stood for so long was a good one: the next failure is a first failure again.
const GOOD_AFTER_MS = 10000
const CONNECT_MS = 15000
// An empty message goes to nobody. It keeps proxies from closing a quiet connection, and finds out about dead ones.
const KEEP_ALIVE_MS = 30000

const origin = location.origin.replace(/^http/, 'ws')
const ownQuery = location.search.slice(1).split('&').filter((part) => part !== '' && !/^(format|since)(=|$)/.test(part))
const address = origin + location.pathname + (ownQuery.length > 0 ? '?' + ownQuery.join('&') : '')

function keepConnected(events) {
  let cursor = new URLSearchParams(location.search).get('since')
  let socket
  let failures = 0
  let timer
  let lostAt
  let away

  function connect() {
    clearTimeout(timer)
    const query = ['format=json', ...(cursor ? ['since=' + encodeURIComponent(cursor)] : []), ...ownQuery]
    const mine = new WebSocket(origin + location.pathname + '?' + query.join('&'))
    let openedAt
    socket = mine
    timer = setTimeout(() => mine.close(), CONNECT_MS)
    events.connecting()
    mine.onopen = () => {
      clearTimeout(timer)
      openedAt = performance.now()
      away = lostAt === undefined ? undefined : { from: lostAt, to: Date.now() }
      lostAt = undefined
      events.live()
    }
    mine.onmessage = ({ data }) => receive(JSON.parse(data))
    mine.onclose = ({ code, reason }) => {
      clearTimeout(timer)
      if (openedAt !== undefined) {
        lostAt = Date.now()
        if (performance.now() - openedAt >= GOOD_AFTER_MS) failures = 0
      }
      wait()
      if (openedAt === undefined) explain(mine)
      else events.lost(code, reason)
    }
  }

  function receive(frame) {
    // What was missed while it was away is told before anything else.
    const wasAway = away
    away = undefined
    if (frame.gap) {
      cursor = frame.gap.to
      events.gap(wasAway)
    } else {
      cursor = frame.cursor
      if (frame.type !== undefined) events.message(frame)
    }
  }

  // Half of the wait is chance, so that pages that lost the hub together do not come back together.
  function wait() {
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures)
    const ms = ceiling / 2 + Math.random() * (ceiling / 2)
    failures++
    timer = setTimeout(connect, ms)
    events.waiting(ms)
  }

  // A browser does not tell why a WebSocket was not opened; whether anybody is there at all can be asked.
  function explain(failed) {
    fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(5000) }).then(({ status }) => status, () => 0).then((status) => {
      if (socket === failed) events.notOpened(status)
    })
  }

  function now() {
    if (socket.readyState === WebSocket.CLOSED) connect()
  }

  setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send('')
  }, KEEP_ALIVE_MS)
  addEventListener('online', now)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) now()
  })
  connect()

  return {
    now,
    send(text) {
      if (socket.readyState !== WebSocket.OPEN) return false
      socket.send(text)
      return true
    },
  }
}
`

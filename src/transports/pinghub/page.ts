import { createHash } from 'node:crypto'
import { MARK, MARK_URL } from './page-mark.ts'
import { SCRIPT } from './page-script.ts'
import { STYLE } from './page-style.ts'

const ESCAPED: Readonly<Record<string, string>> = {
  '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;', '+': '&#43;', '\0': '\uFFFD',
}

/** Escapes text for a place between tags, with the entities that pinghub uses (section 3). */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"'+\0]/g, (character) => ESCAPED[character] as string)
}

// Clients of pinghub look for `<html>` as it stands here, so the language is stated on the body.
const BEFORE_TITLE = `<!doctype html>
<html>
<head>
<meta charset="utf-8">
<title>`

const BEFORE_HEADING = ` · Waystation</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover, interactive-widget=resizes-content">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#f4f5f7" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#0e1116" media="(prefers-color-scheme: dark)">
<link rel="icon" href="${MARK_URL}">
<style>${STYLE}</style>
</head>
<body lang="en" data-state="connecting">
<main class="sheet">
<header class="top">
${MARK}
<h1>Waystation</h1>
<div class="state">
<span class="dot" aria-hidden="true"></span>
<span><span id="state" role="status">Connecting</span><span id="wait" aria-hidden="true"></span></span>
</div>
</header>
<div class="channel">
<h2>Channel</h2>
<h3 id="channel" dir="auto">`

const AFTER_HEADING = `</h3>
<p class="address"><span class="unseen">Address: </span><code id="address"></code></p>
<div class="why"><p id="why" role="status" hidden></p><button id="retry" type="button" class="quiet" hidden>Try now</button></div>
</div>
<div class="bar">
<p id="count">0 messages</p>
<label class="switch"><input id="format" type="checkbox" checked> Format JSON</label>
<button id="clear" type="button" class="quiet">Clear</button>
</div>
<div class="stream">
<div id="log" class="log" role="log" aria-label="Messages" tabindex="0">
<p id="older" class="note" aria-live="off" hidden></p>
<ol id="messages"></ol>
</div>
<div id="empty" class="empty">
${MARK}
<p class="lead">No messages yet</p>
<p>Whatever is published to this channel shows up here, on every page that is open on it.</p>
</div>
<button id="jump" type="button" class="jump" hidden></button>
</div>
<form id="form" class="composer" autocomplete="off">
<p id="notice" class="notice" role="alert" hidden></p>
<label class="unseen" for="field">Message</label>
<textarea id="field" rows="1" placeholder="Write a message" enterkeyhint="send" autocapitalize="sentences" aria-describedby="keys"></textarea>
<button type="submit" class="send">Send</button>
</form>
<footer class="foot">
<div class="terminal">
<span class="prompt" aria-hidden="true">$</span>
<code id="command" tabindex="0" role="group" aria-label="The same from a terminal"></code>
<button id="copy" type="button" class="quiet">Copy</button>
</div>
<p id="keys" class="keys"><kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> breaks the line</p>
</footer>
</main>
<noscript><p class="noscript">This page needs JavaScript to show the channel. From a terminal, curl with the header
<code>Accept: text/event-stream</code> on the same address shows it too.</p></noscript>
<script type="module">${SCRIPT}</script>
</body>
</html>
`

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  // 'self' covers the WebSocket: same host and port, http with ws, https with wss. Another site may not frame the page,
  // because a click that is led astray would publish.
  'Content-Security-Policy': [
    "default-src 'none'",
    `script-src ${hashOf(SCRIPT)}`,
    `style-src ${hashOf(STYLE)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'self'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
}

/**
 * The page of a channel: pinghub, section 3. Everything is in it; it asks for nothing else.
 * @param path the decoded path of the channel, with its leading slash
 */
export function renderPage(path: string): { html: string; headers: Record<string, string> } {
  const escaped = escapeHtml(path)
  const html = BEFORE_TITLE + escaped + BEFORE_HEADING + escaped + AFTER_HEADING
  return { html, headers: { ...HEADERS, 'Content-Length': String(Buffer.byteLength(html)) } }
}

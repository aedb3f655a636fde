/** The style of the page. Colours are named by their use; every pair of text and ground keeps a contrast of 4.5 or more. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f5f7; --sheet: #ffffff; --sunk: #f7f8fa; --ink: #171b22; --soft: #5b6472; --line: #e2e5ea;
  --accent: #0c7468; --accent-ink: #ffffff; --accent-soft: #e3f2ef; --live: #12805c; --wait: #a15c07; --bad: #b42318; --bad-soft: #fdf0ee;
  --shadow: 0 1px 2px rgb(23 27 34 / 5%), 0 12px 32px -12px rgb(23 27 34 / 16%);
  --sans: -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1116; --sheet: #161a21; --sunk: #12161c; --ink: #e7eaef; --soft: #98a2b1; --line: #282e38;
    --accent: #3fc7b4; --accent-ink: #06231f; --accent-soft: #14302d; --live: #4ade9c; --wait: #f0b35a; --bad: #ff9b8f; --bad-soft: #34191a;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { background: var(--ground); }
body { margin: 0; color: var(--ink); font: 15px/1.5 var(--sans); -webkit-text-size-adjust: 100%; }
h1, h2, h3, p, ol { margin: 0; padding: 0; font: inherit; }
button, textarea, input { font: inherit; color: inherit; }
code, kbd { font-family: var(--mono); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.sheet {
  display: grid; grid-template-rows: auto auto auto minmax(8rem, 1fr) auto auto;
  width: min(56rem, 100% - 3rem); height: calc(100vh - 3rem); height: calc(100dvh - 3rem); margin: 1.5rem auto;
  overflow: hidden; background: var(--sheet); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow);
}
.sheet > * { padding-inline: 1.5rem; min-width: 0; }

.top { display: flex; align-items: center; gap: .5rem; min-height: 3.5rem; border-bottom: 1px solid var(--line); }
.top .mark { width: 24px; height: 24px; color: var(--accent); flex: none; }
h1 { font-weight: 650; letter-spacing: -.01em; margin-inline-end: auto; }
.state { display: flex; white-space: nowrap; align-items: center; gap: .5rem; font-weight: 550; font-variant-numeric: tabular-nums; color: var(--wait); }
[data-state=live] .state { color: var(--live); }
.dot { width: 9px; height: 9px; border-radius: 50%; background: currentColor; flex: none; }
@media (prefers-reduced-motion: no-preference) {
  [data-state=connecting] .dot, [data-state=waiting] .dot { animation: wait 1.4s ease-in-out infinite alternate; }
  @keyframes wait { to { opacity: .25; } }
}

.channel { padding-block: 1.25rem 1rem; }
h2 { font-size: .75rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); }
h3 { font-size: 1.625rem; line-height: 1.25; font-weight: 680; letter-spacing: -.02em; overflow-wrap: anywhere; white-space: pre-wrap; max-height: 5em; overflow: auto; }
.address { margin-top: .25rem; color: var(--soft); font-size: .8125rem; overflow-wrap: anywhere; max-height: 4.5em; overflow: auto; }
.why { display: flex; align-items: center; gap: .75rem; color: var(--wait); font-size: .875rem; }
.why > * { margin-top: .5rem; }

.bar { display: flex; align-items: center; gap: 1rem; min-height: 2.5rem; color: var(--soft); font-size: .8125rem; border-block: 1px solid var(--line); background: var(--sunk); }
.bar p { margin-inline-end: auto; font-variant-numeric: tabular-nums; }
.switch { display: flex; white-space: nowrap; align-items: center; gap: .4rem; cursor: pointer; }
.switch input { margin: 0; accent-color: var(--accent); }
.quiet { padding: .2rem .6rem; border: 1px solid var(--line); border-radius: 6px; background: var(--sheet); color: var(--soft); font-size: .8125rem; font-weight: 550; cursor: pointer; }
.quiet:hover { color: var(--ink); border-color: var(--soft); }

.sheet > .stream { position: relative; min-height: 0; padding: 0; }
.log { height: 100%; overflow-y: auto; padding: .75rem 1.5rem; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: var(--line) transparent; }
.log:focus-visible { outline-offset: -3px; }
ol { list-style: none; }
.message { display: grid; grid-template-columns: 4.25rem minmax(0, 1fr); gap: .75rem; align-items: baseline; padding-block: .3rem; }
.message time { color: var(--soft); font: .78125rem/1.25rem var(--mono); font-variant-numeric: tabular-nums; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; tab-size: 4; }
.text.json { font: .8125rem/1.3125rem var(--mono); }
.kind { color: var(--soft); font-size: .75rem; line-height: 1.4375rem; }
.more { margin-top: .25rem; }
.note { display: flex; align-items: center; gap: .75rem; padding-block: .5rem; color: var(--soft); font-size: .8125rem; text-align: center; }
.note::before, .note::after { content: ""; flex: 1 1 1rem; border-top: 1px solid var(--line); }
.empty { position: absolute; inset: 0; display: grid; align-content: center; justify-items: center; gap: .35rem; padding: 1.5rem; color: var(--soft); text-align: center; pointer-events: none; }
.empty .mark { width: 44px; height: 44px; margin-bottom: .5rem; color: var(--line); }
.empty p { max-width: 26rem; text-wrap: balance; }
.lead { color: var(--ink); font-size: 1.0625rem; font-weight: 600; }
.jump { position: absolute; inset-block-end: .75rem; inset-inline: 0; width: max-content; margin-inline: auto; padding: .35rem .9rem; border: 0; border-radius: 99px; background: var(--accent); color: var(--accent-ink); font-size: .8125rem; font-weight: 600; box-shadow: 0 4px 14px rgb(0 0 0 / 22%); cursor: pointer; }

.composer { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .75rem; align-items: end; padding-block: 1rem .75rem; border-top: 1px solid var(--line); }
.notice { grid-column: 1 / -1; padding: .5rem .75rem; border-radius: 8px; background: var(--bad-soft); color: var(--bad); font-size: .875rem; }
textarea { display: block; width: 100%; max-height: 10rem; padding: .55rem .8rem; resize: none; border: 1px solid var(--line); border-radius: 9px; background: var(--sunk); line-height: 1.5; }
textarea:focus-visible { outline-offset: -1px; border-color: transparent; }
textarea::placeholder { color: var(--soft); opacity: 1; }
.send { padding: .55rem 1.2rem; border: 1px solid transparent; border-radius: 9px; background: var(--accent); color: var(--accent-ink); font-weight: 620; cursor: pointer; }
.send:hover { filter: brightness(1.08); }
[data-state=waiting] .send, [data-state=connecting] .send, [data-forbidden] .send { background: var(--line); color: var(--soft); cursor: default; filter: none; }
[data-forbidden] textarea { color: var(--soft); }

.foot { display: flex; align-items: center; gap: .75rem 1.5rem; padding-bottom: 1rem; color: var(--soft); font-size: .8125rem; }
.terminal { display: flex; align-items: center; gap: .6rem; flex: 1; min-width: 0; }
.terminal code { flex: 0 1 auto; min-width: 0; overflow-x: auto; white-space: nowrap; scrollbar-width: none; }
.prompt { font-family: var(--mono); color: var(--accent); }
.keys { flex: none; }
kbd { padding: .05rem .35rem; border: 1px solid var(--line); border-radius: 5px; background: var(--sunk); font-size: .75rem; }
.noscript { position: fixed; inset: auto 0 0; padding: 1rem; background: var(--bad-soft); color: var(--bad); text-align: center; }

@media (max-width: 44rem), (max-height: 34rem) {
  .sheet { width: 100%; height: 100vh; height: 100dvh; margin: 0; border: 0; border-radius: 0; box-shadow: none; }
}
@media (max-width: 44rem) {
  .sheet > *, .log { padding-inline: max(1rem, env(safe-area-inset-left)) max(1rem, env(safe-area-inset-right)); }
  .channel { padding-block: .9rem .8rem; }
  h3 { font-size: 1.375rem; }
  .message { grid-template-columns: 3.35rem minmax(0, 1fr); gap: .5rem; }
  .message time { font-size: .6875rem; }
  .keys { display: none; }
  .foot { padding-bottom: max(.9rem, env(safe-area-inset-bottom)); }
  .terminal code { flex: 1; }
  textarea { font-size: 16px; }
}
@media (max-height: 34rem) { .foot { display: none; } .channel { padding-block: .5rem; } }
@media (forced-colors: active) { .dot { background: CanvasText; } }
`

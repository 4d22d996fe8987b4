// Words that differ between two texts.

const SEGMENTER = new Intl.Segmenter(undefined, { granularity: "word" });

/** Return the segments of ``text``; those that are no words, such as spaces, have no ``word``. */
function segments(text) {
  return Array.from(SEGMENTER.segment(text), ({ segment, isWordLike }) => ({
    text: segment,
    word: isWordLike ? segment.toLowerCase() : null,
  }));
}

/** Return, for each of two lists of words, the set of positions outside their longest common subsequence. */
function differing(one, two) {
  const width = two.length + 1;
  const longest = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i--)
    for (let j = two.length - 1; j >= 0; j--)
      longest[i * width + j] =
        one[i] === two[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const onlyOne = new Set(one.keys());
  const onlyTwo = new Set(two.keys());
  for (let i = 0, j = 0; i < one.length && j < two.length; ) {
    if (one[i] === two[j]) {
      onlyOne.delete(i++);
      onlyTwo.delete(j++);
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
    else j++;
  }
  return [onlyOne, onlyTwo];
}

const wordSegments = (text) =>
  segments(text.slice(0, LONG_TEXT)).filter((segment) => segment.word !== null);
const wordsOf = (text) => wordSegments(text).map((segment) => segment.word);

/** Return how to draw an answer with the words at the positions ``marked`` in an element ``tag``. */
function drawMarked(marked, tag) {
  return (text) => {
    let position = -1;
    return segments(text).flatMap((segment) => {
      if (segment.word !== null) position++;
      return segment.word !== null && marked.has(position) ? h(tag, {}, ...shown(segment.text)) : shown(segment.text);
    });
  };
}

/** Return the accepted answer that ``answer`` differs from least, the words that it lacks and those that are others. */
function nearestGold(answer, golds) {
  const words = wordsOf(answer);
  const compared = golds.map((gold) => {
    const wanted = wordSegments(gold);
    const [lacking, other] = differing(wanted.map((segment) => segment.word), words);
    return { lacking: [...lacking].map((position) => wanted[position].text), other };
  });
  compared.sort((one, two) => one.lacking.length + one.other.size - two.lacking.length - two.other.size);
  return compared[0] ?? { lacking: [], other: new Set() };
}
